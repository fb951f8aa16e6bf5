import { type Cidr, familyOf, networkOf, prefixLength, toBytes } from '@enid/ip';

/**
 * A prefix as a number, by which prefixes sort in the order of a walk through their tree: of IPv4 address * 64 + length, of
 * IPv6 a bigint, address << 8 | length.
 */
export type Prefix = number | bigint;

const V6_BITS = 128n;

/** The prefix of a block. Blocks of ::ffff:0:0/96 are those of IPv4. */
export function prefixOf(cidr: Cidr): Prefix {
  const length = prefixLength(cidr);
  if (familyOf(cidr) === 4) return ipv4Number(cidr) * 64 + length;
  const bytes = toBytes(networkOf(cidr));
  const isMapped = length >= 96 && bytes.every((byte, i) => i >= 12 || byte === (i < 10 ? 0 : 0xff));
  const address = bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  return isMapped ? Number(address & 0xffff_ffffn) * 64 + length - 96 : (address << 8n) | BigInt(length);
}

/** By hand: there may be 100,000. */
function ipv4Number(cidr: string): number {
  let value = 0;
  let part = 0;
  for (let i = 0; ; i++) {
    const code = cidr.charCodeAt(i);
    if (code >= 48) part = part * 10 + code - 48;
    else {
      value = value * 256 + part;
      part = 0;
      if (code !== 46) return value;
    }
  }
}

/** Everything of a family. */
export const ROOTS = { 4: 0 as Prefix, 6: 0n as Prefix } as const;

/** Of 128 bits: those of IPv4 have 96 in front. */
export function lengthOf(prefix: Prefix): number {
  return typeof prefix === 'number' ? 96 + (prefix % 64) : Number(prefix & 0xffn);
}

/** The first address, as the prefix's own kind of number. */
export function firstOf(prefix: Prefix): number | bigint {
  return typeof prefix === 'number' ? Math.floor(prefix / 64) : prefix >> 8n;
}

/** The last address. */
export function lastOf(prefix: Prefix): number | bigint {
  return typeof prefix === 'number'
    ? Math.floor(prefix / 64) + 2 ** (32 - (prefix % 64)) - 1
    : (prefix >> 8n) + (1n << (V6_BITS - (prefix & 0xffn))) - 1n;
}

/** Whether all of `inner` is within `outer`. */
export function covers(outer: Prefix, inner: Prefix): boolean {
  return typeof outer === typeof inner && firstOf(outer) <= firstOf(inner) && lastOf(outer) >= lastOf(inner);
}

/** Writes the address as 16 bytes, IPv4 as ::ffff:a.b.c.d. */
export function writeAddress(prefix: Prefix, view: DataView, offset: number): void {
  if (typeof prefix === 'number') {
    view.setUint32(offset, 0);
    view.setUint32(offset + 4, 0);
    view.setUint32(offset + 8, 0xffff);
    view.setUint32(offset + 12, Math.floor(prefix / 64));
  } else {
    view.setBigUint64(offset, prefix >> 72n);
    view.setBigUint64(offset + 8, (prefix >> 8n) & 0xffff_ffff_ffff_ffffn);
  }
}
