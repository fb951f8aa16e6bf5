/** How names are looked up in a pod. */
import type { Pod } from '@enid/kube';
import type { DnsConfig } from '../cri/types.ts';
import { isHostNetwork, namespaceOf } from '../pod.ts';

export type ClusterDns = { readonly servers: readonly string[]; readonly domain: string };

/** Reads resolv.conf(5). */
export function parseResolvConf(text: string): DnsConfig {
  const config: DnsConfig = { servers: [], searches: [], options: [] };
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/);
    if (keyword === 'nameserver') config.servers.push(...values.slice(0, 1));
    else if (keyword === 'search' || keyword === 'domain') config.searches = values;
    else if (keyword === 'options') config.options.push(...values);
  }
  return config;
}

/** @param host the node's own configuration. */
export function dnsConfigOf(pod: Pod, host: DnsConfig, cluster: ClusterDns): DnsConfig {
  const base = policyConfig(pod, host, cluster);
  const { nameservers = [], searches = [], options = [] } = pod.spec?.dnsConfig ?? {};
  const named = new Map(base.options.map((option) => [option.split(':')[0], option]));
  for (const { name, value } of options) if (name) named.set(name, value ? `${name}:${value}` : name);
  return {
    servers: [...new Set([...base.servers, ...nameservers])],
    searches: [...new Set([...base.searches, ...searches])],
    options: [...named.values()],
  };
}

function policyConfig(pod: Pod, host: DnsConfig, cluster: ClusterDns): DnsConfig {
  const policy = pod.spec?.dnsPolicy ?? 'ClusterFirst';
  if (policy === 'None') return { servers: [], searches: [], options: [] };
  if (policy === 'Default' || (policy === 'ClusterFirst' && isHostNetwork(pod))) return host;
  const { domain, servers } = cluster;
  return {
    servers: [...servers],
    searches: [`${namespaceOf(pod)}.svc.${domain}`, `svc.${domain}`, domain, ...host.searches],
    options: ['ndots:5'],
  };
}
