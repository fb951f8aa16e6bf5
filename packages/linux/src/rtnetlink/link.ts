import { familyOf, type Ip } from '@enid/ip';
import { Attributes, MalformedMessageError, type MessageWriter, structure } from '../netlink/attributes.ts';
import {
  buildRequest,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_ECHO,
  NLM_F_EXCL,
  type Request,
} from '../netlink/message.ts';
import type { NetNamespace } from '../netns.ts';
import { defined, familyNumber, Names, writeLinkName } from './values.ts';

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_SETLINK = 19;

const IFINFOMSG_LENGTH = 16;
const IFF_UP = 1;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_QDISC = 6;
const IFLA_MASTER = 10;
const IFLA_TXQLEN = 13;
const IFLA_OPERSTATE = 16;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_AF_SPEC = 26;
const IFLA_GROUP = 27;
const IFLA_NET_NS_FD = 28;
const IFLA_EXT_MASK = 29;
const IFLA_NUM_TX_QUEUES = 31;
const IFLA_NUM_RX_QUEUES = 32;
const IFLA_CARRIER = 33;
const IFLA_LINK_NETNSID = 37;
const RTEXT_FILTER_SKIP_STATS = 8;

const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFLA_INET6_ADDR_GEN_MODE = 8;

const IFLA_VXLAN_ID = 1;
const IFLA_VXLAN_GROUP = 2;
const IFLA_VXLAN_LINK = 3;
const IFLA_VXLAN_LOCAL = 4;
const IFLA_VXLAN_TTL = 5;
const IFLA_VXLAN_LEARNING = 7;
const IFLA_VXLAN_PORT = 15;
const IFLA_VXLAN_GROUP6 = 16;
const IFLA_VXLAN_LOCAL6 = 17;

const addrGenModes = new Names({ eui64: 0, none: 1, 'stable-privacy': 2, random: 3 });

const operStates = new Names({
  unknown: 0,
  notpresent: 1,
  down: 2,
  lowerlayerdown: 3,
  testing: 4,
  dormant: 5,
  up: 6,
});

/** Operational state after RFC 2863, as `ip link` shows it. */
export type OperState =
  | 'unknown'
  | 'notpresent'
  | 'down'
  | 'lowerlayerdown'
  | 'testing'
  | 'dormant'
  | 'up'
  | number;

/** Options of a VXLAN link (RFC 7348). */
export type Vxlan = {
  /** VXLAN network identifier, 24 bits. */
  id: number;
  /** Where frames go whose destination is in no forwarding entry: a host or a multicast group. */
  remote?: Ip;
  /** Source address of the tunnel. */
  local?: Ip;
  /** Index of the link that the tunnel goes through. */
  link?: number;
  /** UDP destination port; 4789 unless given. */
  port?: number;
  /** TTL of the outer packets; 0, the default, takes the system's. */
  ttl?: number;
  /** Whether sources are learnt from what is received; the kernel's default is true. */
  learning?: boolean;
};

/** A network interface as the kernel shows it; rtnetlink(7), RTM_NEWLINK. */
export type Link = {
  index: number;
  name: string;
  /** What made it, such as `veth`; absent for `lo` and physical links. */
  kind?: string;
  /** Link-layer address such as `02:00:00:00:00:01`, lower case; '' when the link has none. */
  mac: string;
  /** In bytes. */
  mtu: number;
  /** Administratively up (IFF_UP). Whether it carries anything: `operState`, `carrier`. */
  up: boolean;
  /** IFF_* of netdevice(7). */
  flags: number;
  /** ARPHRD_*: 1 for Ethernet, 772 for loopback. */
  type: number;
  operState: OperState;
  carrier?: boolean;
  /** Index of the peer (veth) or of the link below (vxlan), in the namespace `peerNetnsId` when there is one. */
  peerIndex?: number;
  /** The kernel's identifier, in this namespace, of the namespace that the peer is in, when it is another. */
  peerNetnsId?: number;
  /** Index of the bridge, bond or VRF that it is a port of. */
  master?: number;
  alias?: string;
  /** A number to address many links at once; 0 unless set. */
  group: number;
  /** In packets. */
  txQueueLength?: number;
  /** Name of the root queueing discipline. */
  qdisc?: string;
  /** Only of kind `vxlan`. */
  vxlan?: Vxlan;
};

/** What every new link can be given. */
type NewLink = {
  name: string;
  /** In bytes; the kind's default unless given. */
  mtu?: number;
  /** Random unless given. */
  mac?: string;
  /**
   * How many receive and how many transmit queues it is made with; the kind's default unless given. A veth has one per
   * processor by default, uses the first alone, and takes the longer to make the more there are.
   */
  queues?: number;
  /** In which namespace it is made: that of the socket unless given. */
  netns?: NetNamespace;
};

/** A link to make. */
export type LinkSpec = NewLink & {
  /** The index it shall have; the next free one unless given. */
  index?: number;
  up?: boolean;
  /** Index of the bridge or VRF that it becomes a port of. */
  master?: number;
  group?: number;
  /** In packets. */
  txQueueLength?: number;
} & (
    | { kind: 'dummy' | 'bridge' }
    | {
        kind: 'veth';
        /** The other end; made down, bring it up with {@link setLink}: the kernel refuses to make it up. */
        peer: NewLink & { index?: number };
      }
    | ({ kind: 'vxlan' } & Vxlan)
  );

/** What can be changed of a link. What is absent stays. */
export type LinkChange = {
  /** Up or down. */
  up?: boolean;
  mtu?: number;
  mac?: string;
  /** Index of the bridge or VRF that it becomes a port of; 0 for none. */
  master?: number;
  /** A note of up to 255 bytes, '' for none. */
  alias?: string;
  group?: number;
  txQueueLength?: number;
  /** Moves it there, where it is down and has no addresses. */
  netns?: NetNamespace;
  /**
   * How the link makes its IPv6 link-local address when it goes up; `none`: not at all. Has to be set by a request
   * before that one. EAFNOSUPPORT when the kernel, or a link by its small MTU, does without IPv6.
   */
  addrGenMode?: 'eui64' | 'none' | 'stable-privacy' | 'random';
};

/**
 * Makes a link (RTM_NEWLINK), for veth with its peer.
 *
 * Refused with EEXIST when the name or index is taken there, EOPNOTSUPP when the kernel lacks the kind.
 */
export function addLink(spec: LinkSpec): Request {
  return buildRequest(
    `RTM_NEWLINK ${spec.name}`,
    RTM_NEWLINK,
    NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO,
    (writer) => {
      writeHeader(writer, spec.index ?? 0, spec.up);
      writeNewLink(writer, spec);
      writeMembership(writer, spec);
      writer.attribute(IFLA_LINKINFO, () => {
        writer.attributeString(IFLA_INFO_KIND, spec.kind);
        if (spec.kind === 'veth') writer.attribute(IFLA_INFO_DATA, () => writePeer(writer, spec.peer));
        if (spec.kind === 'vxlan') writer.attribute(IFLA_INFO_DATA, () => writeVxlan(writer, spec));
      });
    },
  );
}

/**
 * Changes a link (RTM_SETLINK); ENODEV when there is none. With several changes an error can leave the first of
 * them done.
 * @param link index or name. Renaming needs the index, since a message has one field for a name.
 */
export function setLink(link: number, change: LinkChange & { name?: string }): Request;
export function setLink(link: number | string, change: LinkChange): Request;
export function setLink(link: number | string, change: LinkChange & { name?: string }): Request {
  return buildRequest(`RTM_SETLINK ${link}`, RTM_SETLINK, 0, (writer) => {
    if (typeof link === 'string' && change.name !== undefined)
      throw new TypeError('renaming needs the index');
    writeHeader(writer, typeof link === 'number' ? link : 0, change.up);
    writeLinkName(writer, IFLA_IFNAME, typeof link === 'string' ? link : change.name);
    writer.attributeU32(IFLA_MTU, change.mtu);
    writer.attributeMac(IFLA_ADDRESS, change.mac);
    writer.attributeS32(IFLA_NET_NS_FD, change.netns?.fd);
    writer.attributeString(IFLA_IFALIAS, change.alias);
    writeMembership(writer, change);
    const mode = change.addrGenMode;
    if (mode !== undefined) writer.attribute(IFLA_AF_SPEC, () => writeAddrGenMode(writer, mode));
  });
}

/**
 * Deletes a link (RTM_DELLINK), of veth both ends; ENODEV when there is none. For veth the kernel takes tens of
 * milliseconds: {@link LinkReaper} does it in the background.
 * @param link index or name.
 */
export function deleteLink(link: number | string): Request {
  return buildRequest(`RTM_DELLINK ${link}`, RTM_DELLINK, 0, (writer) => writeIdentity(writer, link));
}

/** Deletes all links of a group at once, which takes as long as deleting one; ENODEV when there are none. */
export function deleteLinkGroup(group: number): Request {
  return buildRequest(`RTM_DELLINK group ${group}`, RTM_DELLINK, 0, (writer) => {
    writeHeader(writer, 0, undefined);
    writer.attributeU32(IFLA_GROUP, group);
  });
}

/** Asks for one link, by index or name. */
export function getLink(link: number | string): Request {
  return buildRequest(`RTM_GETLINK ${link}`, RTM_GETLINK, 0, (writer) => {
    writeIdentity(writer, link);
    writer.attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  });
}

/** Asks for all links, or for the ports of one master. */
export function dumpLinks(filter: { master?: number } = {}): Request {
  return buildRequest('RTM_GETLINK', RTM_GETLINK, NLM_F_DUMP, (writer) => {
    writeHeader(writer, 0, undefined);
    writer.attributeU32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    writer.attributeU32(IFLA_MASTER, filter.master);
  });
}

/**
 * Reads the payload of an RTM_NEWLINK or RTM_DELLINK.
 * @returns undefined for one of another family than AF_UNSPEC: a bridge's or IPv6's own view of the link.
 * @throws {MalformedMessageError}
 */
export function decodeLink(payload: Uint8Array): Link | undefined {
  const header = structure(payload, IFINFOMSG_LENGTH);
  if (header.getUint8(0) !== 0) return undefined;
  const attributes = new Attributes(payload, IFINFOMSG_LENGTH);
  const info = attributes.nested(IFLA_LINKINFO);
  const kind = info?.string(IFLA_INFO_KIND);
  const data = kind === 'vxlan' ? info?.nested(IFLA_INFO_DATA) : undefined;
  const flags = header.getUint32(8, true);
  const carrier = attributes.u8(IFLA_CARRIER);
  const name = attributes.string(IFLA_IFNAME);
  const index = header.getInt32(4, true);
  if (!name) throw new MalformedMessageError(`link ${index} has no name`);
  return defined({
    index,
    name,
    kind,
    mac: attributes.mac(IFLA_ADDRESS) ?? '',
    mtu: attributes.u32(IFLA_MTU) ?? 0,
    up: (flags & IFF_UP) !== 0,
    flags,
    type: header.getUint16(2, true),
    operState: operStates.name(attributes.u8(IFLA_OPERSTATE) ?? 0),
    carrier: carrier === undefined ? undefined : carrier !== 0,
    peerIndex: attributes.u32(IFLA_LINK),
    peerNetnsId: attributes.s32(IFLA_LINK_NETNSID),
    master: attributes.u32(IFLA_MASTER),
    alias: attributes.string(IFLA_IFALIAS),
    group: attributes.u32(IFLA_GROUP) ?? 0,
    txQueueLength: attributes.u32(IFLA_TXQLEN),
    qdisc: attributes.string(IFLA_QDISC),
    vxlan: data && readVxlan(data),
  });
}

/** struct ifinfomsg */
function writeHeader(writer: MessageWriter, index: number, up: boolean | undefined): void {
  writer
    .u32(0)
    .s32(index)
    .u32(up ? IFF_UP : 0)
    .u32(up === undefined ? 0 : IFF_UP);
}

function writeIdentity(writer: MessageWriter, link: number | string): void {
  writeHeader(writer, typeof link === 'number' ? link : 0, undefined);
  if (typeof link === 'string') writeLinkName(writer, IFLA_IFNAME, link);
}

function writeNewLink(writer: MessageWriter, spec: NewLink): void {
  writeLinkName(writer, IFLA_IFNAME, spec.name);
  writer.attributeU32(IFLA_MTU, spec.mtu);
  writer.attributeMac(IFLA_ADDRESS, spec.mac);
  writer.attributeU32(IFLA_NUM_TX_QUEUES, spec.queues);
  writer.attributeU32(IFLA_NUM_RX_QUEUES, spec.queues);
  writer.attributeS32(IFLA_NET_NS_FD, spec.netns?.fd);
}

function writeMembership(
  writer: MessageWriter,
  change: Pick<LinkChange, 'master' | 'group' | 'txQueueLength'>,
): void {
  writer.attributeU32(IFLA_MASTER, change.master);
  writer.attributeU32(IFLA_GROUP, change.group);
  writer.attributeU32(IFLA_TXQLEN, change.txQueueLength);
}

/** What AF_INET6 keeps of a link. */
function writeAddrGenMode(writer: MessageWriter, mode: NonNullable<LinkChange['addrGenMode']>): void {
  writer.attribute(familyNumber(6), () =>
    writer.attributeU8(IFLA_INET6_ADDR_GEN_MODE, addrGenModes.number(mode)),
  );
}

/** VETH_INFO_PEER: a whole link message inside an attribute. */
function writePeer(writer: MessageWriter, peer: NewLink & { index?: number }): void {
  writer.attribute(VETH_INFO_PEER, () => {
    writeHeader(writer, peer.index ?? 0, undefined);
    writeNewLink(writer, peer);
  });
}

function writeVxlan(writer: MessageWriter, { id, remote, local, link, port, ttl, learning }: Vxlan): void {
  writer.attributeU32(IFLA_VXLAN_ID, id);
  if (remote) writer.attributeIp(familyOf(remote) === 4 ? IFLA_VXLAN_GROUP : IFLA_VXLAN_GROUP6, remote);
  if (local) writer.attributeIp(familyOf(local) === 4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, local);
  writer.attributeU32(IFLA_VXLAN_LINK, link);
  writer.attributeU16be(IFLA_VXLAN_PORT, port ?? 4789);
  writer.attributeU8(IFLA_VXLAN_TTL, ttl);
  writer.attributeU8(IFLA_VXLAN_LEARNING, learning === undefined ? undefined : Number(learning));
}

function readVxlan(data: Attributes): Vxlan {
  return defined({
    id: data.u32(IFLA_VXLAN_ID) ?? 0,
    remote: data.ip(IFLA_VXLAN_GROUP) ?? data.ip(IFLA_VXLAN_GROUP6),
    local: data.ip(IFLA_VXLAN_LOCAL) ?? data.ip(IFLA_VXLAN_LOCAL6),
    link: data.u32(IFLA_VXLAN_LINK),
    port: data.u16be(IFLA_VXLAN_PORT),
    ttl: data.u8(IFLA_VXLAN_TTL),
    learning: data.u8(IFLA_VXLAN_LEARNING) !== 0,
  });
}
