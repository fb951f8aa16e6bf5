import { familyOf, type Ip } from '@enid/ip';
import { Attributes, structure } from '../netlink/attributes.ts';
import {
  buildRequest,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  type Request,
} from '../netlink/message.ts';
import { defined, familyName, familyNumber, Names } from './values.ts';

export const RTM_NEWNEIGH = 28;
export const RTM_DELNEIGH = 29;
const RTM_GETNEIGH = 30;

const NDMSG_LENGTH = 12;
const NDA_DST = 1;
const NDA_LLADDR = 2;
const NDA_IFINDEX = 8;
const NTF_PROXY = 8;

const states = new Names({
  none: 0,
  incomplete: 0x01,
  reachable: 0x02,
  stale: 0x04,
  delay: 0x08,
  probe: 0x10,
  failed: 0x20,
  noarp: 0x40,
  permanent: 0x80,
});

/** What the kernel knows of a neighbour's reachability (NUD_*); `permanent` entries never change by themselves. */
export type NeighbourState =
  | 'none'
  | 'incomplete'
  | 'reachable'
  | 'stale'
  | 'delay'
  | 'probe'
  | 'failed'
  | 'noarp'
  | 'permanent'
  | number;

/** An ARP or neighbour discovery entry to make, or a proxy entry. */
export type NeighbourSpec = {
  /** Index of the link. */
  index: number;
  address: Ip;
  /** Needed unless it is a proxy entry, which answers with the link's own. */
  mac?: string;
  /** `permanent` unless given. */
  state?: NeighbourState;
  /** This machine answers for the address on the link. */
  proxy?: boolean;
};

/** A neighbour as the kernel shows it; rtnetlink(7), RTM_NEWNEIGH. */
export type Neighbour = NeighbourSpec & {
  family: 4 | 6;
  state: NeighbourState;
  proxy: boolean;
  /** NTF_*. */
  flags: number;
};

/**
 * Makes a neighbour entry (RTM_NEWNEIGH).
 * @param mode `create` (the default) is refused with EEXIST when there is one for the address, also one that the
 *   kernel learnt; `replace` overwrites it.
 */
export function addNeighbour(spec: NeighbourSpec, mode: 'create' | 'replace' = 'create'): Request {
  const flags = NLM_F_CREATE | (mode === 'create' ? NLM_F_EXCL : NLM_F_REPLACE);
  return neighbourRequest('RTM_NEWNEIGH', RTM_NEWNEIGH, flags, spec);
}

/** Deletes a neighbour entry (RTM_DELNEIGH), with `proxy` a proxy entry; ENOENT when there is none. */
export function deleteNeighbour(spec: Pick<NeighbourSpec, 'index' | 'address' | 'proxy'>): Request {
  const { index, address, proxy } = spec;
  return neighbourRequest('RTM_DELNEIGH', RTM_DELNEIGH, 0, defined({ index, address, proxy }));
}

/** Asks for neighbours, of all links or of one; with `proxy` for the proxy entries instead. */
export function dumpNeighbours(filter: { index?: number; family?: 4 | 6; proxy?: boolean } = {}): Request {
  return buildRequest('RTM_GETNEIGH', RTM_GETNEIGH, NLM_F_DUMP, (writer) => {
    writer
      .u8(familyNumber(filter.family))
      .u8(0)
      .u16(0)
      .s32(0)
      .u16(0)
      .u8(filter.proxy ? NTF_PROXY : 0)
      .u8(0);
    writer.attributeU32(NDA_IFINDEX, filter.index);
  });
}

/**
 * Reads the payload of an RTM_NEWNEIGH or RTM_DELNEIGH.
 * @returns undefined for an entry that is not of IP, such as one of a bridge's forwarding table.
 * @throws {MalformedMessageError}
 */
export function decodeNeighbour(payload: Uint8Array): Neighbour | undefined {
  const header = structure(payload, NDMSG_LENGTH);
  const family = familyName(header.getUint8(0));
  const attributes = new Attributes(payload, NDMSG_LENGTH);
  const address = attributes.ip(NDA_DST);
  if (!family || !address) return undefined;
  const flags = header.getUint8(10);
  return defined({
    index: header.getInt32(4, true),
    family,
    address,
    mac: attributes.mac(NDA_LLADDR),
    state: states.name(header.getUint16(8, true)),
    proxy: (flags & NTF_PROXY) !== 0,
    flags,
  });
}

function neighbourRequest(name: string, type: number, flags: number, spec: NeighbourSpec): Request {
  const { index, address, mac, state = 'permanent', proxy } = spec;
  return buildRequest(`${name} ${address} on link ${index}`, type, flags, (writer) => {
    writer
      .u8(familyNumber(familyOf(address)))
      .u8(0)
      .u16(0)
      .s32(index)
      .u16(states.number(state))
      .u8(proxy ? NTF_PROXY : 0)
      .u8(0);
    writer.attributeIp(NDA_DST, address);
    writer.attributeMac(NDA_LLADDR, mac);
  });
}
