/** Verdicts of the data plane, told in the words of the cluster: which pods, which policy, which rule. */
import type { Ip } from '@enid/ip';
import type { Logger } from '../log.ts';
import type { PolicyDataPlane, PolicyEvent } from './data-plane/index.ts';
import type { Direction, PolicyRef, RuleRef, Verdict } from './rules.ts';

type End = { readonly address: Ip; readonly port?: number; readonly pod?: string };

/** One verdict, as it is logged. */
export type VerdictLine = {
  /** ISO 8601. */
  readonly time: string;
  readonly verdict: Verdict;
  readonly direction: Direction;
  /** Of this node, as `namespace/name`: whose rules decided. */
  readonly pod?: string;
  readonly protocol: string;
  readonly source: End;
  readonly destination: End;
  /** Which kind of rule decided; see `RuleRef`. */
  readonly tier?: RuleRef['tier'];
  /** `NetworkPolicy namespace/name`. */
  readonly policy?: string;
  /** The place of the rule in the policy's list, from 0; none of a denial by isolation. */
  readonly rule?: number;
  /** Why no rule was asked. */
  readonly reason?: 'fragment' | 'malformed';
};

const PROTOCOLS: Readonly<Record<number, string>> = {
  1: 'ICMP',
  6: 'TCP',
  17: 'UDP',
  58: 'ICMPv6',
  132: 'SCTP',
};
const WITH_PORTS = new Set([6, 17, 132]);

export const nameOf = ({ kind, namespace, name }: PolicyRef): string =>
  namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;

export function lineOf(
  event: PolicyEvent,
  podOf: (ifindex: number) => string | undefined,
  podAt: (address: Ip) => string | undefined,
): VerdictLine {
  const { direction, verdict, protocol, by, reason } = event;
  const pod = podOf(event.ifindex);
  const end = (address: Ip, port: number, isOwn: boolean): End => {
    const name = isOwn ? pod : podAt(address);
    return { address, ...(WITH_PORTS.has(protocol) && { port }), ...(name && { pod: name }) };
  };
  return {
    time: new Date(event.time).toISOString(),
    verdict,
    direction,
    ...(pod && { pod }),
    protocol: PROTOCOLS[protocol] ?? String(protocol),
    source: end(event.source, event.sourcePort, direction === 'egress'),
    destination: end(event.destination, event.destinationPort, direction === 'ingress'),
    ...(by && { tier: by.tier }),
    ...(by?.policy && { policy: nameOf(by.policy) }),
    ...(by?.rule !== undefined && { rule: by.rule }),
    ...(reason !== 'rule' && { reason }),
  };
}

type Listener = (line: VerdictLine, event: PolicyEvent) => void;

/** Hands verdicts to whoever listens, as long as the data plane is open. */
export class Verdicts {
  readonly #listeners = new Set<Listener>();
  readonly #toLine: (event: PolicyEvent) => VerdictLine;
  readonly #log: Logger;

  constructor(
    plane: Pick<PolicyDataPlane, 'events'>,
    options: {
      readonly podOf: (ifindex: number) => string | undefined;
      readonly podAt: (address: Ip) => string | undefined;
      readonly log: Logger;
    },
  ) {
    this.#log = options.log;
    this.#toLine = (event) => lineOf(event, options.podOf, options.podAt);
    void this.#pump(plane);
  }

  /** @returns what ends it. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async #pump(plane: Pick<PolicyDataPlane, 'events'>): Promise<void> {
    try {
      for await (const event of plane.events()) {
        const line = this.#toLine(event);
        for (const listener of this.#listeners) listener(line, event);
      }
    } catch (error) {
      this.#log.error({ err: error }, 'verdicts cannot be read any more; policies are enforced all the same');
    }
  }
}
