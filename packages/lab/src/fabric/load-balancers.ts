/** The machines behind load balancers: one for each, with an interface per zone. */
import { addressAt, cidrOf, prefixLength } from '@enid/ip';
import type { LoadBalancer } from '../cloud/elbv2/state.ts';
import type { CloudState } from '../cloud/state.ts';
import { DEFAULT_ROUTE, MAIN_TABLE, type NamespacePlan } from './model.ts';
import { loadBalancerNamespaceName } from './names.ts';
import type { PluggedInterface } from './plugged.ts';
import { CONNTRACK_SYSCTLS, ROUTER_SYSCTLS } from './router.ts';

/** Where the interface of a load balancer is plugged in; nowhere before the load balancer is active. */
export function loadBalancerHost(
  state: CloudState,
  prefix: string,
  networkInterfaceId: string,
): PluggedInterface['host'] | undefined {
  for (const loadBalancer of Object.values(state.loadBalancers)) {
    const zone = loadBalancer.zones.find((each) => each.networkInterfaceId === networkInterfaceId);
    if (!zone) continue;
    if (loadBalancer.state !== 'active') return undefined;
    const namespace = loadBalancerNamespaceName(prefix, loadBalancer.id);
    return { namespace, link: zoneLink(state, zone.zone), boots: true };
  }
  return undefined;
}

/** The device of a zone: `eth0` in the first zone of the region, whichever zones a load balancer has. */
export function zoneLink({ zones }: Pick<CloudState, 'zones'>, zone: string): string {
  return `eth${zones.indexOf(zone)}`;
}

/** Of packets that belong to a connection of the load balancer itself, whoever's address it has there. */
export const OWN_CONNECTION = 1;
const OWN_CONNECTION_PRIORITY = 900;
const OWN_CONNECTION_TABLE = 99;
/** Of the rules and routing tables of the devices. */
const FIRST_TABLE = 100;
const CAME_BY_PRIORITY = 1000;
const BOUND_PRIORITY = 1500;
const OWN_PRIORITY = 2000;

/**
 * A machine of which each interface answers for its own zone: what comes by it, what is bound to it and what has its address,
 * leaves by it.
 * What the load balancer does there is another's.
 */
function planLoadBalancer(plugged: readonly PluggedInterface[]): NamespacePlan {
  const [first] = plugged;
  const tableOf = ({ host: { link } }: PluggedInterface) => FIRST_TABLE + Number(link.slice('eth'.length));
  const gatewayOf = ({ host, subnet }: PluggedInterface, table: number) => ({
    destination: DEFAULT_ROUTE,
    table,
    link: host.link,
    gateway: addressAt(subnet.cidr, 1),
  });
  return {
    ownership: 'kept',
    // A network load balancer passes packets on that have the client's address.
    sysctls: { ...ROUTER_SYSCTLS, ...CONNTRACK_SYSCTLS },
    addresses: plugged.map(({ eni, subnet, host }) => ({
      link: host.link,
      address: eni.primaryIp,
      prefixLength: prefixLength(subnet.cidr),
    })),
    routes: [
      ...(first ? [gatewayOf(first, MAIN_TABLE)] : []),
      ...plugged.map((found) => gatewayOf(found, tableOf(found))),
      { destination: DEFAULT_ROUTE, table: OWN_CONNECTION_TABLE, link: 'lo', local: true },
    ],
    rules: [
      { priority: OWN_CONNECTION_PRIORITY, table: OWN_CONNECTION_TABLE, fwmark: OWN_CONNECTION },
      ...plugged.flatMap((found) => {
        const table = tableOf(found);
        return [
          { priority: CAME_BY_PRIORITY + table, table, iif: found.host.link },
          { priority: BOUND_PRIORITY + table, table, oif: found.host.link },
          { priority: OWN_PRIORITY + table, table, from: cidrOf(found.eni.primaryIp, 32) },
        ];
      }),
    ],
    neighbours: [],
    tables: [],
  };
}

/** The machines of active load balancers, by name of their namespaces. */
export function planLoadBalancers(
  { loadBalancers }: Pick<CloudState, 'loadBalancers'>,
  prefix: string,
  plugged: readonly PluggedInterface[],
): [string, NamespacePlan][] {
  const isActive = ({ state }: LoadBalancer) => state === 'active';
  return Object.values(loadBalancers)
    .filter(isActive)
    .map(({ id }) => {
      const name = loadBalancerNamespaceName(prefix, id);
      return [name, planLoadBalancer(plugged.filter(({ host }) => host.namespace === name))];
    });
}
