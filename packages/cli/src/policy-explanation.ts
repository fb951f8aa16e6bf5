/** Why a connection between two of a cluster gets through or not, as the agents of both ends have it. */
import type { PolicyAnswer, PolicyQuestion } from '@enid/agent';
import { isIpv4 } from '@enid/ip';
import { isNotFound, type KubeClient, type List, type Pod } from '@enid/kube';
import type { ClusterAgents } from './cluster-agents.ts';

/** One end of the connection. */
export type End = { readonly address: string; readonly pod?: string; readonly node?: string };

export type Explanation = {
  readonly from: End;
  readonly to: End;
  readonly protocol: PolicyQuestion['protocol'];
  readonly port: number;
  readonly verdict: 'allow' | 'deny';
  /** Leaving the one, entering the other: of those that are pods with an address of their own. */
  readonly sides: readonly PolicyAnswer[];
};

type Request = { readonly from: string; readonly to: string } & Pick<PolicyQuestion, 'protocol' | 'port'>;

/** @throws naming what is wrong with an end, or which agent cannot be asked. */
export async function explainPolicies(agents: ClusterAgents, request: Request): Promise<Explanation> {
  const { protocol, port } = request;
  const from = await podEnd(agents.client, request.from);
  const to =
    isIpv4(request.to) || request.to.includes(':')
      ? await addressEnd(agents.client, request.to)
      : await podEnd(agents.client, request.to);
  const ask = async (side: End, direction: PolicyQuestion['direction'], other: End) => {
    if (!side.pod || !side.node) return [];
    const question: PolicyQuestion = {
      ...{ pod: side.pod, direction, address: other.address, protocol, port },
    };
    const answer = await agents.run(side.node, ['enid', 'policy', 'ask', JSON.stringify(question)]);
    return [JSON.parse(answer) as PolicyAnswer];
  };
  const sides = (await Promise.all([ask(from, 'egress', to), ask(to, 'ingress', from)])).flat();
  const verdict = sides.some((side) => side.verdict === 'deny') ? 'deny' : 'allow';
  return { from, to, protocol, port, verdict, sides };
}

async function podEnd(client: KubeClient, key: string): Promise<End> {
  const [namespace, name] = key.split('/');
  const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
  const pod = await client.get<Pod>(path).catch((error) => {
    throw isNotFound(error) ? new Error(`there is no pod ${key}`) : error;
  });
  const { podIP: address } = pod.status ?? {};
  if (!address) throw new Error(`the pod ${key} has no address yet`);
  if (pod.spec?.hostNetwork)
    throw new Error(
      `the pod ${key} is on its node's network, which no policy binds: give a pod with its own`,
    );
  return { address, pod: key, ...(pod.spec?.nodeName && { node: pod.spec.nodeName }) };
}

/** Whoever has an address: a pod, or something else. */
async function addressEnd(client: KubeClient, address: string): Promise<End> {
  const { items } = await client.get<List<Pod>>('/api/v1/pods', {
    fieldSelector: `status.podIP=${address}`,
  });
  const pod = items.find(({ spec, status }) => !spec?.hostNetwork && status?.phase === 'Running');
  if (!pod) return { address };
  const { namespace, name } = pod.metadata!;
  return {
    address,
    pod: `${namespace}/${name}`,
    ...(pod.spec?.nodeName && { node: pod.spec.nodeName }),
  };
}

/** The explanation in words. */
export function drawExplanation({ from, to, protocol, port, verdict, sides }: Explanation): string {
  const name = ({ address, pod, node }: End) => (pod ? `${pod} (${address}, on ${node})` : address);
  const lines = [`${name(from)} to ${name(to)}, ${protocol} ${port}: ${verdict.toUpperCase()}`];
  for (const side of sides) {
    const { policies, maps } = side;
    lines.push(
      '',
      `${side.direction === 'egress' ? 'leaving' : 'entering'} ${side.pod}: ${side.verdict}, ${reasonOf(side)}`,
      `  selected by: ${policies.join(', ') || 'no policy'}`,
      `  in the kernel: ${
        maps.set === undefined
          ? 'nothing, the pod is not guarded'
          : `set ${maps.set} in revision ${maps.revision}, ${maps.peerClass === undefined ? 'no entry for the address' : `class ${maps.peerClass} for the address`}`
      }`,
    );
  }
  if (sides.length === 0)
    lines.push('', 'neither end is a pod with an address of its own: no policy binds them');
  return lines.join('\n');
}

function reasonOf({ decidedBy, verdict }: PolicyAnswer): string {
  if (!decidedBy) return 'as no policy was ever put in force on it';
  const { tier, policy, rule } = decidedBy;
  if (policy && rule !== undefined) return `by rule ${rule} of ${policy}`;
  if (policy) return `as no rule of the policies that select it, such as ${policy}, allows it`;
  if (tier === 'Default') return `as no policy selects it${verdict === 'deny' ? ', in strict mode' : ''}`;
  return tier === 'Closed' ? 'as its rules could not be put in force: see its events' : `by the tier ${tier}`;
}
