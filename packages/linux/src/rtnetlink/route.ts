import { type Cidr, familyOf, type Ip, networkOf, prefixLength } from '@enid/ip';
import {
  Attributes,
  MalformedMessageError,
  type MessageWriter,
  readIp,
  structure,
} from '../netlink/attributes.ts';
import {
  buildRequest,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  type Request,
} from '../netlink/message.ts';
import { defined, familyName, familyNumber, Names, readBlock, type Scope, scopes } from './values.ts';

export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

const RTMSG_LENGTH = 12;
const RTNEXTHOP_LENGTH = 8;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTA_NH_ID = 30;
const RTAX_MTU = 2;
const RTAX_ADVMSS = 8;
const RTNH_F_ONLINK = 4;

/** The main table's number, where routes go unless told otherwise. */
export const MAIN_TABLE = 254;
/** The number of the table that the kernel keeps of its own addresses. */
export const LOCAL_TABLE = 255;

const PROTOCOL_BOOT = 3;
const SCOPE_NOWHERE = 255;

const types = new Names({
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
});

/** What a route does with a packet; `unicast` forwards it, see ip-route(8). */
export type RouteType =
  | 'unicast'
  | 'local'
  | 'broadcast'
  | 'anycast'
  | 'multicast'
  | 'blackhole'
  | 'unreachable'
  | 'prohibit'
  | 'throw'
  | number;

/** One of the ways of a route. */
export type Nexthop = {
  /** Index of the link that packets leave by. */
  oif?: number;
  /** The router; the destination itself is on the link when absent. May be of IPv6 for a route of IPv4. */
  gateway?: Ip;
  /** The gateway counts as being on the link although no prefix says so. */
  onlink?: boolean;
};

/** A route to make or to delete. */
export type RouteSpec = Nexthop & {
  destination: Cidr | 'default';
  /** Needed for a `default` that has no gateway. */
  family?: 4 | 6;
  /** 254 (main) unless given. */
  table?: number;
  /** `unicast` unless given. */
  type?: RouteType;
  /** Unless given: `host` for local, `link` for IPv4 without a gateway, else `global`. IPv6 has `global` only. */
  scope?: Scope;
  /** Source address of what this machine sends by it. */
  prefSource?: Ip;
  /** The lower goes first. IPv6 turns 0, the default, into 1024. */
  metric?: number;
  /** Who made it (RTPROT_*): 2 the kernel, 3 (boot) unless given, 4 (static) an administrator. */
  protocol?: number;
  /** In bytes. */
  mtu?: number;
  /** Maximum segment size to advertise to TCP peers, in bytes. */
  advMss?: number;
  /** Identifier of a nexthop object, in the place of `oif` and `gateway`. */
  nexthopId?: number;
  /** Several ways, in the place of `oif` and `gateway`. `weight` is from 1 to 256, and 1 unless given. */
  nexthops?: (Nexthop & { weight?: number })[];
};

/** A route as the kernel shows it; rtnetlink(7), RTM_NEWROUTE. */
export type Route = RouteSpec & {
  family: 4 | 6;
  table: number;
  type: RouteType;
  scope: Scope;
  protocol: number;
  /** RTNH_F_* and RTM_F_*: whether the link is down or the route offloaded, for example. */
  flags: number;
};

/**
 * Makes a route (RTM_NEWROUTE).
 * @param mode `create` (the default) is refused with EEXIST when there is one of the same destination and metric;
 *   `replace` takes its place; `append` comes after it.
 */
export function addRoute(route: RouteSpec, mode: 'create' | 'replace' | 'append' = 'create'): Request {
  const modeFlag = { create: NLM_F_EXCL, replace: NLM_F_REPLACE, append: NLM_F_APPEND }[mode];
  return buildRequest(`RTM_NEWROUTE ${describe(route)}`, RTM_NEWROUTE, NLM_F_CREATE | modeFlag, (writer) => {
    writeRoute(writer, route, {
      type: types.number(route.type ?? 'unicast'),
      scope: scopes.number(route.scope ?? defaultScope(route)),
      protocol: route.protocol ?? PROTOCOL_BOOT,
    });
  });
}

/** Deletes the first route that has all of the given properties (RTM_DELROUTE); ESRCH when there is none. */
export function deleteRoute(route: RouteSpec): Request {
  return buildRequest(`RTM_DELROUTE ${describe(route)}`, RTM_DELROUTE, 0, (writer) => {
    writeRoute(writer, route, {
      type: route.type === undefined ? 0 : types.number(route.type),
      scope: route.scope === undefined ? SCOPE_NOWHERE : scopes.number(route.scope),
      protocol: route.protocol ?? 0,
    });
  });
}

/** Asks for the routes of all tables or of one, without the kernel's route cache. */
export function dumpRoutes(filter: { table?: number; family?: 4 | 6; oif?: number } = {}): Request {
  const description = `RTM_GETROUTE table ${filter.table ?? 'all'}`;
  return buildRequest(description, RTM_GETROUTE, NLM_F_DUMP, (writer) => {
    writer.u8(familyNumber(filter.family)).raw(new Uint8Array(RTMSG_LENGTH - 1));
    writer.attributeU32(RTA_TABLE, filter.table);
    writer.attributeU32(RTA_OIF, filter.oif);
  });
}

/**
 * Reads the payload of an RTM_NEWROUTE or RTM_DELROUTE.
 * @returns undefined for a route that is not of IP, or that multicast routing keeps.
 * @throws {MalformedMessageError}
 */
export function decodeRoute(payload: Uint8Array): Route | undefined {
  const header = structure(payload, RTMSG_LENGTH);
  const family = familyName(header.getUint8(0));
  if (!family) return undefined;
  const attributes = new Attributes(payload, RTMSG_LENGTH);
  const flags = header.getUint32(8, true);
  const metrics = attributes.nested(RTA_METRICS);
  const multipath = attributes.bytes(RTA_MULTIPATH);
  return defined({
    destination: readBlock(attributes.ip(RTA_DST), header.getUint8(1)) ?? ('default' as const),
    family,
    table: attributes.u32(RTA_TABLE) ?? header.getUint8(4),
    protocol: header.getUint8(5),
    scope: scopes.name(header.getUint8(6)),
    type: types.name(header.getUint8(7)),
    flags,
    ...readNexthop(attributes, flags),
    prefSource: attributes.ip(RTA_PREFSRC),
    metric: attributes.u32(RTA_PRIORITY),
    mtu: metrics?.u32(RTAX_MTU),
    advMss: metrics?.u32(RTAX_ADVMSS),
    nexthopId: attributes.u32(RTA_NH_ID),
    nexthops: multipath && readNexthops(multipath),
  });
}

function describe(route: RouteSpec): string {
  const via = route.gateway ? ` via ${route.gateway}` : '';
  const dev = route.oif ? ` on link ${route.oif}` : '';
  return `${route.destination}${via}${dev} table ${route.table ?? MAIN_TABLE}`;
}

/** As ip-route(8) chooses it. */
function defaultScope(route: RouteSpec): Scope {
  const { type, gateway, nexthops, nexthopId } = route;
  const name = types.name(types.number(type ?? 'unicast'));
  if (name === 'local') return 'host';
  if (familyOfRoute(route) === 6 || gateway || nexthops || nexthopId) return 'global';
  return ['unicast', 'broadcast', 'multicast', 'anycast'].includes(name as string) ? 'link' : 'global';
}

function familyOfRoute({ destination, family, gateway, nexthops }: RouteSpec): 4 | 6 {
  const via = gateway ?? nexthops?.find((nexthop) => nexthop.gateway)?.gateway;
  const known = destination === 'default' ? (family ?? (via && familyOf(via))) : familyOf(destination);
  if (!known) throw new TypeError('a default route without a gateway needs the family, 4 or 6');
  return known;
}

function writeRoute(
  writer: MessageWriter,
  route: RouteSpec,
  { type, scope, protocol }: { type: number; scope: number; protocol: number },
): void {
  const { destination, table = MAIN_TABLE, mtu, advMss, nexthops } = route;
  const family = familyOfRoute(route);
  writer
    .u8(familyNumber(family))
    .u8(destination === 'default' ? 0 : prefixLength(destination))
    .u8(0)
    .u8(0)
    .u8(0)
    .u8(protocol)
    .u8(scope)
    .u8(type)
    .u32(route.onlink ? RTNH_F_ONLINK : 0);
  writer.attributeU32(RTA_TABLE, table);
  if (destination !== 'default') writer.attributeIp(RTA_DST, networkOf(destination));
  writer.attributeU32(RTA_OIF, route.oif);
  writeGateway(writer, family, route.gateway);
  writer.attributeIp(RTA_PREFSRC, route.prefSource);
  writer.attributeU32(RTA_PRIORITY, route.metric);
  writer.attributeU32(RTA_NH_ID, route.nexthopId);
  if (mtu !== undefined || advMss !== undefined) {
    writer.attribute(RTA_METRICS, () => {
      writer.attributeU32(RTAX_MTU, mtu);
      writer.attributeU32(RTAX_ADVMSS, advMss);
    });
  }
  if (nexthops) {
    writer.attribute(RTA_MULTIPATH, () => {
      for (const nexthop of nexthops) writeNexthop(writer, family, nexthop);
    });
  }
}

function writeGateway(writer: MessageWriter, family: 4 | 6, gateway: Ip | undefined): void {
  if (!gateway || familyOf(gateway) === family) {
    writer.attributeIp(RTA_GATEWAY, gateway);
  } else {
    // struct rtvia
    writer.attribute(RTA_VIA, () => writer.u16(familyNumber(familyOf(gateway))).ip(gateway));
  }
}

/** struct rtnexthop, which is laid out as an attribute is but for its header. */
function writeNexthop(writer: MessageWriter, family: 4 | 6, nexthop: Nexthop & { weight?: number }): void {
  const start = writer.length;
  writer
    .u16(0)
    .u8(nexthop.onlink ? RTNH_F_ONLINK : 0)
    .u8((nexthop.weight ?? 1) - 1)
    .s32(nexthop.oif ?? 0);
  writeGateway(writer, family, nexthop.gateway);
  writer.patchU16(start, writer.length - start);
}

function readNexthop(attributes: Attributes, flags: number): Nexthop {
  const via = attributes.bytes(RTA_VIA);
  return {
    ...defined({
      oif: attributes.u32(RTA_OIF),
      gateway: attributes.ip(RTA_GATEWAY) ?? (via && readIp(via.subarray(2))),
    }),
    ...(flags & RTNH_F_ONLINK ? { onlink: true } : {}),
  };
}

function readNexthops(bytes: Uint8Array): (Nexthop & { weight: number })[] {
  const nexthops = [];
  for (let at = 0; at < bytes.length; ) {
    const header = structure(bytes.subarray(at), RTNEXTHOP_LENGTH);
    const length = header.getUint16(0, true);
    if (length < RTNEXTHOP_LENGTH || at + length > bytes.length) {
      throw new MalformedMessageError(`nexthop of ${length} bytes at ${at} of ${bytes.length}`);
    }
    const nexthop = readNexthop(
      new Attributes(bytes.subarray(at, at + length), RTNEXTHOP_LENGTH),
      header.getUint8(2),
    );
    nexthops.push({ oif: header.getInt32(4, true), ...nexthop, weight: header.getUint8(3) + 1 });
    at += (length + 3) & ~3;
  }
  return nexthops;
}
