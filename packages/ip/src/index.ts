/**
 * IP addresses and CIDR blocks as typed, canonical text.
 *
 * An address is a branded string in canonical form (`10.0.1.5`, `2001:db8::1`), so it can be a map key, be
 * compared with `===`, and be printed as it is. This is the one place that touches the address library.
 */
import ipaddr from 'ipaddr.js';

declare const family: unique symbol;
declare const block: unique symbol;

/** A canonical IPv4 address in dotted decimal, such as `10.0.1.5`. */
export type Ipv4 = string & { readonly [family]: 4 };
/** A canonical IPv6 address after RFC 5952, such as `2001:db8::1`. */
export type Ipv6 = string & { readonly [family]: 6 };
/** A canonical address of either family. */
export type Ip = Ipv4 | Ipv6;
/** A canonical CIDR block of addresses of this family, whose host bits are zero. */
export type CidrOf<A extends Ip> = string & { readonly [block]: A };
/** A canonical IPv4 CIDR block whose host bits are zero, such as `10.0.1.0/24`. */
export type Ipv4Cidr = CidrOf<Ipv4>;
/** A canonical IPv6 CIDR block whose host bits are zero. */
export type Ipv6Cidr = CidrOf<Ipv6>;
/** A canonical CIDR block of either family. */
export type Cidr = CidrOf<Ip>;

/** Text that is not an address or a CIDR block of the family that was asked for. */
export class AddressError extends Error {
  override readonly name = 'AddressError';
}

const isDottedQuad = (text: string): boolean => /^\d{1,3}(\.\d{1,3}){3}$/.test(text);

/** True for an IPv4 address in four-part dotted decimal. */
export function isIpv4(text: string): text is Ipv4 {
  return isDottedQuad(text) && ipaddr.IPv4.isValid(text) && ipaddr.IPv4.parse(text).toString() === text;
}

/**
 * Reads an IPv4 address in four-part dotted decimal.
 * @throws {AddressError} when `text` is anything else, also for the octal and one-part forms of inet_aton(3).
 */
export function parseIpv4(text: string): Ipv4 {
  if (!isIpv4(text)) throw new AddressError(`"${text}" is not an IPv4 address`);
  return text;
}

/**
 * Reads an IPv6 address and returns it in the canonical form of RFC 5952.
 * @throws {AddressError} when `text` is no IPv6 address. Zone identifiers are refused.
 */
export function parseIpv6(text: string): Ipv6 {
  if (text.includes('%') || !ipaddr.IPv6.isValid(text))
    throw new AddressError(`"${text}" is not an IPv6 address`);
  return ipaddr.IPv6.parse(text).toRFC5952String() as Ipv6;
}

/**
 * Reads an address of either family.
 * @throws {AddressError} when `text` is neither.
 */
export function parseIp(text: string): Ip {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** 4 or 6. */
export function familyOf(address: Ip | Cidr): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}

/** The address in network byte order: 4 bytes for IPv4, 16 for IPv6. */
export function toBytes(address: Ip): Uint8Array {
  return Uint8Array.from(ipaddr.parse(address).toByteArray());
}

/**
 * The address of 4 or 16 bytes in network byte order.
 * @throws {AddressError} for any other length.
 */
export function fromBytes(bytes: Uint8Array): Ip {
  if (bytes.length !== 4 && bytes.length !== 16) {
    throw new AddressError(`an address has 4 or 16 bytes, not ${bytes.length}`);
  }
  const parsed = ipaddr.fromByteArray([...bytes]);
  return (parsed instanceof ipaddr.IPv6 ? parsed.toRFC5952String() : parsed.toString()) as Ip;
}

/** The IPv4 address as an unsigned 32-bit number: `10.0.0.1` is 167772161. */
export function toNumber(address: Ipv4): number {
  // Digit by digit: it is asked for every address of a pool, time and again.
  let value = 0;
  let part = 0;
  for (let at = 0; at < address.length; at++) {
    const digit = address.charCodeAt(at) - 48;
    if (digit >= 0) {
      part = part * 10 + digit;
      continue;
    }
    value = value * 256 + part;
    part = 0;
  }
  return value * 256 + part;
}

/**
 * The IPv4 address of an unsigned 32-bit number.
 * @throws {AddressError} outside 0 to 2^32 - 1.
 */
export function fromNumber(value: number): Ipv4 {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new AddressError(`${value} is not an unsigned 32-bit number`);
  }
  return [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255].join('.') as Ipv4;
}

/** The address block of a CIDR without its length: `10.0.1.0` of `10.0.1.0/24`. */
export function networkOf<A extends Ip>(cidr: CidrOf<A>): A {
  return cidr.slice(0, cidr.indexOf('/')) as string as A;
}

/** The prefix length in bits: 24 of `10.0.1.0/24`. */
export function prefixLength(cidr: Cidr): number {
  return Number(cidr.slice(cidr.indexOf('/') + 1));
}

/**
 * Reads an IPv4 CIDR block.
 * @param text such as `10.0.1.0/24`. Host bits are cleared: `10.0.1.7/24` gives `10.0.1.0/24`.
 * @throws {AddressError} when it is no IPv4 block.
 */
export function parseIpv4Cidr(text: string): Ipv4Cidr {
  const slash = text.indexOf('/');
  const length = text.slice(slash + 1);
  if (slash < 0 || !/^\d{1,2}$/.test(length) || Number(length) > 32 || !isIpv4(text.slice(0, slash))) {
    throw new AddressError(`"${text}" is not an IPv4 CIDR block`);
  }
  return cidrOf(text.slice(0, slash) as Ipv4, Number(length));
}

/**
 * Reads a CIDR block of either family; host bits are cleared.
 * @throws {AddressError} when it is no block.
 */
export function parseCidr(text: string): Cidr {
  if (!text.includes(':')) return parseIpv4Cidr(text);
  if (!ipaddr.IPv6.isValidCIDR(text)) throw new AddressError(`"${text}" is not an IPv6 CIDR block`);
  const [, bits] = ipaddr.IPv6.parseCIDR(text);
  return `${ipaddr.IPv6.networkAddressFromCIDR(text).toRFC5952String()}/${bits}` as Ipv6Cidr;
}

/** The block of `length` bits that holds `address`. */
export function cidrOf<A extends Ip>(address: A, length: number): CidrOf<A> {
  const hostBits = widthOf(address) - length;
  const network = isIpv4Text(address)
    ? fromNumber(toNumber(address) - (toNumber(address) % 2 ** hostBits))
    : fromBigInt((toBigInt(address) >> BigInt(hostBits)) << BigInt(hostBits));
  return `${network}/${length}` as CidrOf<A>;
}

/** How many addresses the block holds: 256 for a /24, 2^48 for a /80 of IPv6. */
export function sizeOf(cidr: Cidr): number {
  return 2 ** (widthOf(cidr) - prefixLength(cidr));
}

/** True when the block holds the address; false across families. */
export function contains(cidr: Cidr, address: Ip): boolean {
  if (familyOf(cidr) !== familyOf(address)) return false;
  return ipaddr.parse(address).match(ipaddr.parseCIDR(cidr));
}

/** True when all of the inner block lies within the outer one; false across families. */
export function covers(outer: Cidr, inner: Cidr): boolean {
  return prefixLength(outer) <= prefixLength(inner) && contains(outer, networkOf(inner));
}

/** True when the two blocks share an address. */
export function overlaps(a: Cidr, b: Cidr): boolean {
  return covers(a, b) || covers(b, a);
}

/**
 * The address at an offset in the block: `addressAt('10.0.1.0/24', 1)` is `10.0.1.1`.
 * @param offset a safe integer, whatever the block holds.
 */
export function addressAt<A extends Ip>(cidr: CidrOf<A>, offset: number): A {
  if (offset < 0 || offset >= sizeOf(cidr))
    throw new AddressError(`${cidr} has no address at offset ${offset}`);
  const first: Ip = networkOf(cidr);
  const address: Ip = isIpv4Text(first)
    ? fromNumber(toNumber(first) + offset)
    : fromBigInt(toBigInt(first) + BigInt(offset));
  return address as A;
}

/** Every address of the block, in order, made as it is asked for. */
export function* addressesOf<A extends Ip>(cidr: CidrOf<A>): Generator<A> {
  const size = sizeOf(cidr);
  for (let offset = 0; offset < size; offset++) yield addressAt(cidr, offset);
}

/** The bits of an address of the family. */
const widthOf = (text: Ip | Cidr): number => (familyOf(text) === 4 ? 32 : 128);

const isIpv4Text = (address: Ip): address is Ipv4 => familyOf(address) === 4;

const toBigInt = (address: Ip): bigint => BigInt(`0x${Buffer.from(toBytes(address)).toString('hex')}`);

const fromBigInt = (value: bigint): Ip => fromBytes(Buffer.from(value.toString(16).padStart(32, '0'), 'hex'));
