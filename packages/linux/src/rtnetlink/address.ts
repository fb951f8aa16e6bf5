import { familyOf, type Ip } from '@enid/ip';
import { Attributes, MalformedMessageError, structure } from '../netlink/attributes.ts';
import {
  buildRequest,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REPLACE,
  type Request,
} from '../netlink/message.ts';
import { defined, familyName, familyNumber, type Scope, scopes } from './values.ts';

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;

const IFADDRMSG_LENGTH = 8;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_LABEL = 3;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
const IFA_RT_PRIORITY = 9;

const IFA_F_SECONDARY = 0x01;
const IFA_F_NODAD = 0x02;
const IFA_F_DADFAILED = 0x08;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_PERMANENT = 0x80;
const IFA_F_NOPREFIXROUTE = 0x200;

/** An address to give to a link. */
export type AddressSpec = {
  /** Index of the link. */
  index: number;
  address: Ip;
  /** In bits: 32 for one IPv4 address alone. */
  prefixLength: number;
  /** `global` unless given. */
  scope?: Scope;
  /** The other end of a point-to-point link, which the prefix length then is about. */
  peer?: Ip;
  /** IPv4 only. */
  broadcast?: Ip;
  /** IPv4 only: the link's name or that with `:` and more, as ifconfig(8) wants it. */
  label?: string;
  /** Metric of the prefix's route. */
  metric?: number;
  /** No route to the prefix is made. */
  noPrefixRoute?: boolean;
  /** IPv6 only: used at once, without duplicate address detection. */
  noDad?: boolean;
};

/** A link's address as the kernel shows it; rtnetlink(7), RTM_NEWADDR. */
export type Address = AddressSpec & {
  family: 4 | 6;
  scope: Scope;
  /** IFA_F_*. */
  flags: number;
  /** Set by an administrator, without an end to its lifetime. */
  permanent: boolean;
  /** Not the first of its subnet on the link (IPv4). */
  secondary: boolean;
  /** Still, or without success, under duplicate address detection (IPv6). */
  tentative: boolean;
  /** Found to be in use elsewhere (IPv6). */
  dadFailed: boolean;
};

/**
 * Gives a link an address (RTM_NEWADDR).
 * @param mode `create` (the default) is refused with EEXIST when the link has it; `replace` changes it.
 */
export function addAddress(spec: AddressSpec, mode: 'create' | 'replace' = 'create'): Request {
  const flags = NLM_F_CREATE | (mode === 'create' ? NLM_F_EXCL : NLM_F_REPLACE);
  return addressRequest('RTM_NEWADDR', RTM_NEWADDR, flags, spec);
}

/** Takes an address from a link (RTM_DELADDR); EADDRNOTAVAIL when the link does not have it. */
export function deleteAddress(
  spec: Pick<AddressSpec, 'index' | 'address' | 'prefixLength' | 'peer'>,
): Request {
  const { index, address, prefixLength, peer } = spec;
  return addressRequest('RTM_DELADDR', RTM_DELADDR, 0, defined({ index, address, prefixLength, peer }));
}

/** Asks for the addresses of all links or of one. */
export function dumpAddresses(filter: { index?: number; family?: 4 | 6 } = {}): Request {
  return buildRequest('RTM_GETADDR', RTM_GETADDR, NLM_F_DUMP, (writer) => {
    writer
      .u8(familyNumber(filter.family))
      .u8(0)
      .u8(0)
      .u8(0)
      .u32(filter.index ?? 0);
  });
}

/**
 * Reads the payload of an RTM_NEWADDR or RTM_DELADDR.
 * @returns undefined for an address that is not of IP.
 * @throws {MalformedMessageError}
 */
export function decodeAddress(payload: Uint8Array): Address | undefined {
  const header = structure(payload, IFADDRMSG_LENGTH);
  const family = familyName(header.getUint8(0));
  if (!family) return undefined;
  const attributes = new Attributes(payload, IFADDRMSG_LENGTH);
  // IFA_ADDRESS is the peer's address when there is a peer, and IFA_LOCAL ours; else they are the same.
  const prefixAddress = attributes.ip(IFA_ADDRESS);
  const address = attributes.ip(IFA_LOCAL) ?? prefixAddress;
  if (!address) throw new MalformedMessageError('address message without an address');
  const flags = attributes.u32(IFA_FLAGS) ?? header.getUint8(2);
  return defined({
    index: header.getUint32(4, true),
    family,
    address,
    prefixLength: header.getUint8(1),
    scope: scopes.name(header.getUint8(3)),
    peer: prefixAddress === address ? undefined : prefixAddress,
    broadcast: attributes.ip(IFA_BROADCAST),
    label: attributes.string(IFA_LABEL),
    metric: attributes.u32(IFA_RT_PRIORITY),
    noPrefixRoute: (flags & IFA_F_NOPREFIXROUTE) !== 0,
    noDad: (flags & IFA_F_NODAD) !== 0,
    flags,
    permanent: (flags & IFA_F_PERMANENT) !== 0,
    secondary: (flags & IFA_F_SECONDARY) !== 0,
    tentative: (flags & IFA_F_TENTATIVE) !== 0,
    dadFailed: (flags & IFA_F_DADFAILED) !== 0,
  });
}

function addressRequest(name: string, type: number, flags: number, spec: AddressSpec): Request {
  const { index, address, prefixLength } = spec;
  const description = `${name} ${address}/${prefixLength} on link ${index}`;
  return buildRequest(description, type, flags, (writer) => {
    writer
      .u8(familyNumber(familyOf(address)))
      .u8(prefixLength)
      .u8(0)
      .u8(scopes.number(spec.scope ?? 'global'))
      .u32(index);
    writer.attributeIp(IFA_LOCAL, address);
    writer.attributeIp(IFA_ADDRESS, spec.peer ?? address);
    writer.attributeIp(IFA_BROADCAST, spec.broadcast);
    writer.attributeString(IFA_LABEL, spec.label);
    writer.attributeU32(IFA_RT_PRIORITY, spec.metric);
    const ifaFlags = (spec.noPrefixRoute ? IFA_F_NOPREFIXROUTE : 0) | (spec.noDad ? IFA_F_NODAD : 0);
    writer.attributeU32(IFA_FLAGS, ifaFlags || undefined);
  });
}
