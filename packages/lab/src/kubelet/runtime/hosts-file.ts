import type { Pod } from '@enid/kube';
import { isHostNetwork, namespaceOf } from '../pod.ts';
import { hostNameOf } from './sandbox.ts';

const LOCAL = `127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
`;

/**
 * A pod's /etc/hosts.
 * @param podIPs its addresses, the first one first.
 * @param nodeHosts the node's own file, which pods in the node's network get.
 */
export function hostsFileOf(
  pod: Pod,
  podIPs: readonly string[],
  nodeHosts: string,
  clusterDomain: string,
): string {
  const host = hostNameOf(pod);
  const { subdomain, hostAliases = [] } = pod.spec!;
  const full = subdomain ? `${host}.${subdomain}.${namespaceOf(pod)}.svc.${clusterDomain}\t` : '';
  const head = isHostNetwork(pod)
    ? `# Kubernetes-managed hosts file (host network).\n${nodeHosts}`
    : `# Kubernetes-managed hosts file.\n${LOCAL}${podIPs.map((ip) => `${ip}\t${full}${host}\n`).join('')}`;
  if (hostAliases.length === 0) return head;
  const aliases = hostAliases.map(({ ip, hostnames = [] }) => `${ip}\t${hostnames.join('\t')}\n`);
  return `${head}\n# Entries added by HostAliases.\n${aliases.join('')}`;
}
