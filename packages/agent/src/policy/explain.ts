/** Why a connection of a pod of this node gets through, or does not. */
import { parseIp } from '@enid/ip';
import { z } from 'zod';
import type { Explanation, PolicyDataPlane } from './data-plane/index.ts';
import type { PolicyModule } from './policy-module.ts';
import { nameOf } from './verdicts.ts';

export const PolicyQuestion = z.object({
  /** `namespace/name`, of this node. */
  pod: z.string(),
  direction: z.enum(['ingress', 'egress']),
  /** The other side's. */
  address: z.string(),
  protocol: z.enum(['TCP', 'UDP', 'SCTP', 'ICMP']),
  port: z.number().int().min(0).max(65_535),
});
export type PolicyQuestion = z.output<typeof PolicyQuestion>;

export type PolicyAnswer = {
  readonly pod: string;
  readonly direction: 'ingress' | 'egress';
  /** What the kernel does with the first packet. */
  readonly verdict: 'allow' | 'deny';
  /** The policies that select the pod in this direction, as `NetworkPolicy namespace/name`. */
  readonly policies: readonly string[];
  /** What decides, as the kernel's maps have it; undefined when the pod is not guarded. */
  readonly decidedBy?: { readonly tier: string; readonly policy?: string; readonly rule?: number };
  /** What the kernel's maps hold on the way there. */
  readonly maps: Pick<Explanation, 'set' | 'revision' | 'peerClass'>;
};

const NUMBERS = { TCP: 6, UDP: 17, SCTP: 132, ICMP: 1 } as const;

/** @throws {Error} when there is no such pod on this node, or the address is none. */
export function explain(
  module: PolicyModule,
  plane: Pick<PolicyDataPlane, 'explain'>,
  { pod, direction, address, protocol, port }: PolicyQuestion,
): PolicyAnswer {
  const ifindex = module.linkOf(pod);
  if (ifindex === undefined)
    throw new Error(`there is no pod ${pod} with an address of its own on this node`);
  const found = module.pod(ifindex);
  const question = { ifindex, direction, address: parseIp(address), protocol: NUMBERS[protocol], port };
  const { decision, ...maps } = plane.explain(question);
  if (!found && !decision)
    throw new Error(
      `the API server has no pod ${pod} any more; what was in force on it goes on, and who put that there is gone`,
    );
  const { tier, policy, rule } = decision?.by ?? {};
  return {
    pod,
    direction,
    verdict: decision?.verdict ?? 'allow',
    policies: found ? module.policies.policiesOf(found, direction).map(nameOf) : [],
    ...(tier && {
      decidedBy: { tier, ...(policy && { policy: nameOf(policy) }), ...(rule !== undefined && { rule }) },
    }),
    maps,
  };
}
