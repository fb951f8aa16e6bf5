/** Verdicts of network policies, live: of the agent of this node, or of the one of a pod's node. */
import { StringDecoder } from 'node:string_decoder';
import type { VerdictLine } from '@enid/agent';
import { isNotFound, type Pod } from '@enid/kube';
import { follow, isHere } from './agent-client.ts';
import { ClusterAgents } from './cluster-agents.ts';

type Options = { readonly pod?: string; readonly json?: boolean };

/**
 * Resolves when the signal ends it.
 * @param print is given a line each.
 * @throws when no agent can be asked, or it has no such pod.
 */
export async function traceVerdicts(
  { pod, json }: Options,
  print: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const decoder = new StringDecoder();
  let rest = '';
  const take = (bytes: Buffer) => {
    const lines = (rest + decoder.write(bytes)).split('\n');
    rest = lines.pop()!;
    for (const line of lines) print(json ? line : drawVerdict(JSON.parse(line)));
  };
  if (pod === undefined || isHere()) {
    const query = pod === undefined ? '' : `?pod=${encodeURIComponent(pod)}`;
    return follow(`/v1/policy/trace${query}`, take, signal);
  }
  using agents = new ClusterAgents();
  const [namespace, name] = pod.split('/');
  const found = await agents.client
    .get<Pod>(`/api/v1/namespaces/${namespace}/pods/${name}`)
    .catch((error: Error) => {
      throw isNotFound(error) ? new Error(`there is no pod ${pod}`) : error;
    });
  const node = found.spec?.nodeName;
  if (!node) throw new Error(`the pod ${pod} is on no node yet`);
  const command = ['enid', 'ebpf', 'trace', '--json', '--until-input-ends', '--pod', pod];
  await agents.run(node, command, { stdout: take, signal });
}

/** A verdict in a line. */
export function drawVerdict({
  time,
  verdict,
  direction,
  protocol,
  source,
  destination,
  tier,
  policy,
  rule,
  reason,
}: VerdictLine): string {
  const end = ({ address, port, pod }: VerdictLine['source']) =>
    `${pod ? `${pod} ` : ''}${address}${port === undefined ? '' : `:${port}`}`;
  const by = reason ?? (policy ? `${policy}${rule === undefined ? '' : ` rule ${rule}`}` : tier);
  return `${time} ${verdict.padEnd(5)} ${direction.padEnd(7)} ${protocol} ${end(source)} > ${end(destination)} by ${by}`;
}
