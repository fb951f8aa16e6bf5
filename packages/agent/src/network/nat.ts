/**
 * The node's netfilter rules: which connections are translated, and by which ENI they must leave.
 *
 * All is in one table of our own, which is replaced as a whole in one transaction.
 */
import type { Ipv4, Ipv4Cidr } from '@enid/ip';
import type { Config } from '../config.ts';
import { ENI_MARK_MASK, eniMark, PRIMARY_ENI_MARK, usesMark } from './routing.ts';

export const NAT_TABLE = { family: 'ip', name: 'enid' } as const;

/** What the rules depend on, besides the options. */
export type NatFacts = {
  /** Name of the primary ENI's link, such as `eth0`. */
  readonly primaryLink: string;
  readonly primaryIp: Ipv4;
  readonly vpcCidrs: readonly Ipv4Cidr[];
  /** The links of secondary ENIs, with their route tables. */
  readonly secondaries: readonly { readonly link: string; readonly table: number }[];
};

const randomness = { prng: ' fully-random', hashrandom: ' random', none: '' } as const;

/** The whole table in the language of nft(8), replacing what there is of it. */
export function natScript(
  options: Config['network'],
  { primaryLink, primaryIp, vpcCidrs, secondaries }: NatFacts,
): string {
  const hex = (value: number) => `0x${value.toString(16)}`;
  const mark = hex(PRIMARY_ENI_MARK);
  const markConnection = `ct mark set ct mark or ${mark}`;
  const fromPod = `iifname "${options.vethPrefix}*"`;
  const outside = 'ip daddr != @direct fib daddr type != local';
  const direct = [...vpcCidrs, ...options.excludeSnatCidrs];
  // An answer may come from a pod of any ENI, from a pod elsewhere or from the node itself: it leaves by the ENI that was
  // asked. Original packets alone tell which, as answers to what the node has masqueraded come to its address too.
  const asked = (link: string, value: number) =>
    `ct direction original iifname "${link}" fib daddr . iif type local ct mark set ct mark or ${hex(value)}`;
  const answers = secondaries.map((eni) => {
    const own = hex(eniMark(eni));
    return `ct direction reply ct mark and ${hex(ENI_MARK_MASK)} == ${own} meta mark set meta mark or ${own}`;
  });
  const nodePort = `
  chain from-enis {
    type filter hook prerouting priority mangle; policy accept;
    ${[asked(primaryLink, PRIMARY_ENI_MARK), ...secondaries.map((eni) => asked(eni.link, eniMark(eni))), ...answers].join('\n    ')}
  }
  chain from-node {
    type route hook output priority mangle; policy accept;
    ${answers.join('\n    ')}
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
