/** What a client is to do with a pod or a node over a connection, as an object that can be reviewed (`core/v1`). */
import type { ResourceRequest } from '../http/request-info.ts';
import type { KubeObject } from '../object.ts';

const KINDS: Readonly<Record<string, string>> = {
  'pods/exec': 'PodExecOptions',
  'pods/attach': 'PodAttachOptions',
  'pods/portforward': 'PodPortForwardOptions',
  'nodes/proxy': 'NodeProxyOptions',
};
const FLAGS = ['stdin', 'stdout', 'stderr', 'tty'];

/** @returns undefined of what only reads, such as logs. */
export function connectOptions(
  { plural, subresource, rest }: ResourceRequest,
  query: URLSearchParams,
): KubeObject | undefined {
  const kind = KINDS[`${plural}/${subresource}`];
  if (!kind) return undefined;
  const flags = FLAGS.filter((flag) => ['true', '1'].includes(query.get(flag) ?? ''));
  const container = query.get('container');
  const command = query.getAll('command');
  const ports = query.getAll('ports').map(Number);
  return {
    kind,
    apiVersion: 'v1',
    metadata: {},
    ...Object.fromEntries(flags.map((flag) => [flag, true])),
    ...(container && { container }),
    ...(command.length > 0 && { command }),
    ...(ports.length > 0 && { ports }),
    ...(subresource === 'proxy' && { path: rest || '/' }),
  };
}
