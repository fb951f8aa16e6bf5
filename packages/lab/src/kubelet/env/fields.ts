/** The downward API: what containers may know of their own pod. */
import { type Pod, thousandths } from '@enid/kube';
import type { Container } from '../pod.ts';

/** What a pod's status does not say yet when its containers are made. */
export type PodAddresses = { readonly podIPs: readonly string[]; readonly hostIPs: readonly string[] };

/** What a container may use when it sets no limit: what the node has, by resource. */
export type NodeResources = { readonly [resource: string]: string };

/**
 * The value of a `fieldRef`.
 * @throws when there is no such field.
 */
export function fieldValue(pod: Pod, path: string, { podIPs, hostIPs }: PodAddresses): string {
  const { metadata = {}, spec } = pod;
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path);
  if (subscript) return metadata[subscript[1] as 'labels' | 'annotations']?.[subscript[2]!] ?? '';
  switch (path) {
    case 'metadata.name':
      return metadata.name!;
    case 'metadata.namespace':
      return metadata.namespace!;
    case 'metadata.uid':
      return metadata.uid!;
    case 'metadata.labels':
      return listed(metadata.labels);
    case 'metadata.annotations':
      return listed(metadata.annotations);
    case 'spec.nodeName':
      return spec?.nodeName ?? '';
    case 'spec.serviceAccountName':
      return spec?.serviceAccountName ?? '';
    case 'status.hostIP':
      return hostIPs[0] ?? '';
    case 'status.hostIPs':
      return hostIPs.join(',');
    case 'status.podIP':
      return podIPs[0] ?? '';
    case 'status.podIPs':
      return podIPs.join(',');
    default:
      throw new Error(`unsupported fieldPath: ${path}`);
  }
}

/** A map as the downward API writes it to a file: `key="value"`, a line each. */
function listed(map: { readonly [key: string]: string } = {}): string {
  return Object.keys(map)
    .sort()
    .map((key) => `${key}=${JSON.stringify(map[key])}`)
    .join('\n');
}

/**
 * The value of a `resourceFieldRef`: a whole number of divisors, rounded up.
 * @throws when there is no such resource.
 */
export function resourceValue(
  container: Container,
  resource: string,
  divisor: string | undefined,
  node: NodeResources,
): string {
  const [kind, name] = resource.split(/\.(.*)/s);
  if ((kind !== 'limits' && kind !== 'requests') || !name)
    throw new Error(`unsupported container resource: ${resource}`);
  const { limits, requests } = container.resources ?? {};
  const quantity = kind === 'limits' ? (limits?.[name] ?? node[name]) : requests?.[name];
  const unit = !divisor || divisor === '0' ? '1' : divisor;
  return `${Math.ceil(thousandths(quantity ?? '0') / thousandths(unit))}`;
}
