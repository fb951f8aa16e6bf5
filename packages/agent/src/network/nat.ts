/**
 * The node's netfilter rules: which connections are translated, and which must leave by the primary ENI.
 *
 * All is in one table of our own, which is replaced as a whole in one transaction.
 */
import type { Ipv4, Ipv4Cidr } from '@enid/ip';
import type { Config } from '../config.ts';
import { PRIMARY_ENI_MARK, usesMark } from './routing.ts';

export const NAT_TABLE = { family: 'ip', name: 'enid' } as const;

/** What the rules depend on, besides the options. */
export type NatFacts = {
  /** Name of the primary ENI's link, such as `eth0`. */
  readonly primaryLink: string;
  readonly primaryIp: Ipv4;
  readonly vpcCidrs: readonly Ipv4Cidr[];
};

const randomness = { prng: ' fully-random', hashrandom: ' random', none: '' } as const;

/** The whole table in the language of nft(8), replacing what there is of it. */
export function natScript(
  options: Config['network'],
  { primaryLink, primaryIp, vpcCidrs }: NatFacts,
): string {
  const mark = `0x${PRIMARY_ENI_MARK.toString(16)}`;
  const markConnection = `ct mark set ct mark or ${mark}`;
  const fromPod = `iifname "${options.vethPrefix}*"`;
  const outside = 'ip daddr != @direct fib daddr type != local';
  const direct = [...vpcCidrs, ...options.excludeSnatCidrs];
  const nodePort = `
  chain from-primary-eni {
    type filter hook prerouting priority mangle; policy accept;
    iifname "${primaryLink}" fib daddr . iif type local ${markConnection}
  }`;
  const translate = `
  set direct {
    type ipv4_addr; flags interval; auto-merge;
    ${direct.length > 0 ? `elements = { ${direct.join(', ')} }` : ''}
  }
  chain translate {
    type nat hook postrouting priority srcnat; policy accept;
    ${fromPod} oifname "${primaryLink}" ${outside} snat to ${primaryIp}${randomness[options.randomizeSnat]}
  }`;
  // After destination NAT, since a Service's address is none of the VPC's but its endpoints' are. What is to be
  // translated must leave by the ENI that owns the new address, or the VPC drops it.
  const fromPods = `
  chain from-pods {
    type filter hook prerouting priority dstnat + 5; policy accept;
    ${options.externalSnat ? '' : `${fromPod} ct state new ${outside} ${markConnection}`}
    ${fromPod} ct mark and ${mark} == ${mark} meta mark set meta mark or ${mark}
  }`;
  const parts = [
    options.nodePortSupport ? nodePort : '',
    options.externalSnat ? '' : translate,
    usesMark(options) ? fromPods : '',
  ];
  const table = `table ${NAT_TABLE.family} ${NAT_TABLE.name}`;
  return `${table}\ndelete ${table}\n${table} {${parts.join('')}\n}\n`;
}
