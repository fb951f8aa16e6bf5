import { leaseOf } from './interfaces.ts';
import { type NamespacePlan, TABLE_NAME } from './model.ts';
import type { PluggedInterface } from './plugged.ts';
import { CONNTRACK_SYSCTLS, ROUTER_SYSCTLS } from './router.ts';
import type { Table } from './ruleset.ts';

/**
 * A NAT gateway: a router on a stick whose connections all have its own private address as their source. What
 * comes for that address and answers nothing is dropped, silently as AWS does.
 */
export function planNatGateway(plugged: PluggedInterface): NamespacePlan {
  const { eni, host } = plugged;
  const table: Table = {
    family: 'ip',
    name: TABLE_NAME,
    counters: [],
    sets: [],
    chains: [
      { name: 'input', hook: 'type filter hook input priority filter; policy drop;', rules: [] },
      {
        name: 'forward',
        hook: 'type filter hook forward priority filter; policy accept;',
        rules: ['ct state invalid drop'],
      },
      {
        name: 'postrouting',
        hook: 'type nat hook postrouting priority srcnat; policy accept;',
        rules: [`oifname "${host.link}" ip saddr != ${eni.primaryIp} snat to ${eni.primaryIp}`],
      },
    ],
  };
  return {
    ownership: 'whole',
    sysctls: { ...ROUTER_SYSCTLS, ...CONNTRACK_SYSCTLS },
    ...leaseOf(plugged),
    neighbours: [],
    rules: [],
    tables: [table],
  };
}
