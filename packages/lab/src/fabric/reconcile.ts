import { prefixLength } from '@enid/ip';
import {
  type Address,
  addAddress,
  addNeighbour,
  addRoute,
  addRule,
  deleteAddress,
  deleteNeighbour,
  deleteRoute,
  deleteRule,
  LOCAL_TABLE,
  type NeighbourSpec,
  type Request,
  type Route,
  type RouteSpec,
  type Rtnetlink,
  setLink,
} from '@enid/linux';
import type { LinkRoute, NamespacePlan } from './model.ts';

/** The kernel's own: its rules are the first and the last two, its routes come with addresses. */
const KERNEL_PRIORITIES = [0, 32766, 32767];
const PROTOCOL_KERNEL = 2;

/**
 * Makes the links' state, addresses, neighbours, routes and rules of a namespace what the plan says, changing only
 * what differs. Where the namespace is not wholly the fabric's, nothing is taken away.
 * @param up names of the links to bring up besides `lo`.
 * @throws {NetlinkError} the first refusal, after having tried everything.
 */
export function reconcile(rtnl: Rtnetlink, plan: NamespacePlan, up: readonly string[]): void {
  const links = new Map(rtnl.links().map((link) => [link.name, link]));
  const indexOf = (name: string): number => {
    const link = links.get(name);
    if (!link)
      throw new Error(`the link ${name} that the fabric made is gone; the next change makes it again`);
    return link.index;
  };
  const whole = plan.ownership === 'whole';
  const diffs = [
    addressChanges(rtnl, plan, indexOf),
    neighbourChanges(rtnl, plan, indexOf),
    routeChanges(rtnl, plan, indexOf),
    ruleChanges(rtnl, plan),
  ];
  rtnl.execute([
    ...['lo', ...up]
      .filter((name) => !links.get(name)?.up)
      .map((name) => setLink(indexOf(name), { up: true })),
    ...diffs.flatMap(({ add }) => add),
    ...(whole ? diffs.toReversed().flatMap(({ remove }) => remove) : []),
  ]);
}

type Changes = { add: Request[]; remove: Request[] };

/** What `wanted` has and `actual` has not, and the other way round, by key. */
function difference<Item, Wanted extends Item, Actual extends Item>(
  wanted: readonly Wanted[],
  actual: readonly Actual[],
  key: (item: Item) => string,
): { missing: Wanted[]; surplus: Actual[] } {
  const wantedKeys = new Set(wanted.map(key));
  const actualKeys = new Set(actual.map(key));
  return {
    missing: wanted.filter((item) => !actualKeys.has(key(item))),
    surplus: actual.filter((item) => !wantedKeys.has(key(item))),
  };
}

function addressChanges(rtnl: Rtnetlink, plan: NamespacePlan, indexOf: (link: string) => number): Changes {
  const wanted = plan.addresses.map(({ link, ...rest }) => ({ ...rest, index: indexOf(link) }));
  const actual = rtnl.addresses({ family: 4 }).filter(({ address }) => address !== '127.0.0.1');
  const key = ({ index, address, prefixLength }: Pick<Address, 'index' | 'address' | 'prefixLength'>) =>
    `${index} ${address}/${prefixLength}`;
  const { missing, surplus } = difference(wanted, actual, key);
  return { add: missing.map((spec) => addAddress(spec)), remove: surplus.map((spec) => deleteAddress(spec)) };
}

function neighbourChanges(rtnl: Rtnetlink, plan: NamespacePlan, indexOf: (link: string) => number): Changes {
  const wanted = plan.neighbours.map(({ link, address, mac }) => ({ index: indexOf(link), address, mac }));
  const actual = rtnl.neighbours({ family: 4 }).filter(({ state }) => state === 'permanent');
  const key = ({ index, address, mac }: NeighbourSpec) => `${index} ${address} ${mac}`;
  const { missing, surplus } = difference(wanted, actual, key);
  const kept = new Set(wanted.map(({ index, address }) => `${index} ${address}`));
  return {
    add: missing.map((spec) => addNeighbour(spec, 'replace')),
    remove: surplus
      .filter(({ index, address }) => !kept.has(`${index} ${address}`))
      .map((spec) => deleteNeighbour(spec)),
  };
}

function routeChanges(rtnl: Rtnetlink, plan: NamespacePlan, indexOf: (link: string) => number): Changes {
  const wanted = plan.routes.map((route) => routeSpec(route, indexOf));
  const actual = rtnl
    .routes({ family: 4 })
    .filter(({ table, protocol }) => table !== LOCAL_TABLE && protocol !== PROTOCOL_KERNEL);
  const { missing, surplus } = difference(wanted, actual, routeKey);
  // A route that takes another's place does so in one step: no packet finds neither.
  const replaced = new Set(missing.map(placeOf));
  return {
    add: missing.map((spec) => addRoute(spec, 'replace')),
    remove: surplus.filter((route) => !replaced.has(placeOf(route))).map((route) => deleteRoute(route)),
  };
}

function routeSpec(route: LinkRoute, indexOf: (link: string) => number): RouteSpec {
  const destination = prefixLength(route.destination) === 0 ? 'default' : route.destination;
  const common = { destination, table: route.table, family: 4 } as const;
  if ('blackhole' in route) return { ...common, type: 'blackhole' };
  const { link, gateway, onlink, prefSource, local } = route;
  return {
    ...common,
    oif: indexOf(link),
    ...(gateway ? { gateway } : {}),
    ...(onlink ? { onlink } : {}),
    ...(prefSource ? { prefSource } : {}),
    ...(local ? { type: 'local' as const } : {}),
  };
}

function routeKey(route: RouteSpec | Route): string {
  const { type = 'unicast', oif, gateway, onlink = false, prefSource } = route;
  return [placeOf(route), type, oif, gateway, onlink, prefSource].join();
}

/** What there can be one route of. */
function placeOf({ table, destination, metric = 0 }: RouteSpec | Route): string {
  return `${table} ${destination} ${metric}`;
}

function ruleChanges(rtnl: Rtnetlink, plan: NamespacePlan): Changes {
  const wanted = plan.rules.map((rule) => ({ ...rule, family: 4 as const }));
  const actual = rtnl.rules(4).filter(({ priority }) => !KERNEL_PRIORITIES.includes(priority));
  // Whatever else a rule has (addresses, links) makes it another one.
  const key = (rule: object) => {
    const { action: _, protocol: __, fwmask: ___, ...rest } = rule as Record<string, unknown>;
    return JSON.stringify(Object.entries(rest).sort());
  };
  const { missing, surplus } = difference(wanted, actual, key);
  return { add: missing.map((rule) => addRule(rule)), remove: surplus.map((rule) => deleteRule(rule)) };
}
