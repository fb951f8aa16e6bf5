/**
 * Which policy rules and routes the node has, as data. Priorities, tables and addresses are Amazon's, so that its
 * documentation and its users' habits hold.
 */
import { addressAt, type Cidr, type Ipv4, type Ipv4Cidr } from '@enid/ip';
import { MAIN_TABLE, type RouteSpec, type RuleSpec } from '@enid/linux';
import type { Config } from '../config.ts';
import type { Assignment, NodeEni } from '../seams.ts';

/**
 * Tag (RTPROT_*) on every rule and route that is made here; `ip route` and `ip rule` show it as `proto 69`. What
 * has it and is not wanted is stale; what does not have it is somebody else's and is let be.
 */
export const ROUTING_PROTOCOL = 69;

/** The pods' gateway: an address that is on no link, with a permanent neighbour entry in each pod. */
export const POD_GATEWAY = '169.254.1.1' as Ipv4;

/** Mark of packets that must leave by the primary ENI: NodePort replies, and what is to be SNATed. */
export const PRIMARY_ENI_MARK = 0x80;

/** The bits of a mark that tell which secondary ENI an answer must leave by. */
export const ENI_MARK_MASK = 0x7f;

/** All are Amazon's but `eniMark`, which Amazon's CNI has nothing for. */
const priorities = { toPod: 512, mark: 1024, eniMark: 1025, externalService: 1535, fromPod: 1536 } as const;

/** Mark of what must leave by a secondary ENI: the number of its table. */
export function eniMark({ table }: Pick<NodeEni, 'table'>): number {
  return table & ENI_MARK_MASK;
}

/** The rules that are there whatever pods there are. @param enis those that the node uses. */
export function nodeRules(options: Config['network'], enis: readonly NodeEni[]): RuleSpec[] {
  const rule = { family: 4, table: MAIN_TABLE, protocol: ROUTING_PROTOCOL } as const;
  const marked = { ...rule, priority: priorities.mark, fwmark: PRIMARY_ENI_MARK, fwmask: PRIMARY_ENI_MARK };
  const secondaries = options.nodePortSupport ? enis.filter(({ primary }) => !primary) : [];
  return [
    ...(usesMark(options) ? [marked] : []),
    ...secondaries.map((eni) => ({
      ...rule,
      priority: priorities.eniMark,
      fwmark: eniMark(eni),
      fwmask: ENI_MARK_MASK,
      table: eni.table,
    })),
    ...options.externalServiceCidrs.map((to) => ({ ...rule, priority: priorities.externalService, to })),
  ];
}

/** Whether packets are marked at all. */
export function usesMark(options: Config['network']): boolean {
  return options.nodePortSupport || !options.externalSnat;
}

/** The rules of one pod: to it by its link, from it by its ENI. */
export function podRules({ address, eni }: Pick<Assignment, 'address' | 'eni'>): RuleSpec[] {
  const rule = { family: 4, protocol: ROUTING_PROTOCOL } as const;
  const block = hostBlock(address);
  const toPod = { ...rule, priority: priorities.toPod, to: block, table: MAIN_TABLE };
  // A pod on the primary ENI leaves by the main table as everybody does.
  return eni.primary
    ? [toPod]
    : [toPod, { ...rule, priority: priorities.fromPod, from: block, table: eni.table }];
}

/** What leads to and from an address of a pod, whoever wired the pod, Amazon's plugin too, and whatever ENI it is on. */
export function leadingTo(address: Ipv4): { readonly route: RouteSpec; readonly rules: readonly RuleSpec[] } {
  const block = hostBlock(address);
  return {
    route: { destination: block, table: MAIN_TABLE, scope: 'link' },
    rules: [
      { family: 4, priority: priorities.toPod, to: block },
      { family: 4, priority: priorities.fromPod, from: block },
    ],
  };
}

/** The route to one pod, in the main table. @param oif index of the pod's link on the node. */
export function podRoute(address: Ipv4, oif: number): RouteSpec {
  return { ...linkRoute(hostBlock(address), oif), table: MAIN_TABLE, protocol: ROUTING_PROTOCOL };
}

/** The table of a secondary ENI. The VPC's router is the first address of the subnet. @param oif the ENI's link. */
export function eniRoutes({ subnetCidr, table }: NodeEni, oif: number): RouteSpec[] {
  const gateway = addressAt(subnetCidr, 1);
  const route = { table, oif, protocol: ROUTING_PROTOCOL };
  return [
    { ...linkRoute(hostBlock(gateway), oif), ...route },
    { destination: 'default', family: 4, gateway, ...route },
  ];
}

/** The routes inside a pod. @param oif index of the pod's interface. */
export function routesInPod(oif: number): RouteSpec[] {
  return [
    linkRoute(hostBlock(POD_GATEWAY), oif),
    { destination: 'default', family: 4, gateway: POD_GATEWAY, oif },
  ];
}

/** The block of one address alone. */
export function hostBlock(address: Ipv4): Ipv4Cidr {
  return `${address}/32` as Ipv4Cidr;
}

function linkRoute(destination: Cidr, oif: number): RouteSpec {
  return { destination, oif, scope: 'link' };
}

/** What makes two rules the same to the kernel. The tag does not count. */
export function ruleIdentity(rule: RuleSpec): string {
  const { priority, from, to, iif, oif, fwmark, fwmask, ipProtocol, sourcePorts, destinationPorts } = rule;
  const { invert, action = 'table', table } = rule;
  const selectors = [from, to, iif, oif, fwmark, fwmask, ipProtocol, sourcePorts, destinationPorts, invert];
  return JSON.stringify([priority, ...selectors, action, table]);
}

/** What makes two routes the same. The tag does not count. */
export function routeIdentity(route: RouteSpec): string {
  const { table = MAIN_TABLE, destination, metric, type = 'unicast', oif, gateway } = route;
  return JSON.stringify([table, destination, metric, type, oif, gateway]);
}

/**
 * Compares what is there with what is wanted.
 * @returns `missing`: wanted and not there, whoever made it; `stale`: tagged as ours and not wanted.
 */
export function difference<Actual extends Wanted & { protocol: number }, Wanted>(
  actual: readonly Actual[],
  wanted: readonly Wanted[],
  identity: (item: Wanted) => string,
): { missing: Wanted[]; stale: Actual[] } {
  const there = new Set(actual.map(identity));
  const ids = new Set(wanted.map(identity));
  return {
    missing: wanted.filter((item) => !there.has(identity(item))),
    stale: actual.filter((item) => item.protocol === ROUTING_PROTOCOL && !ids.has(identity(item))),
  };
}
