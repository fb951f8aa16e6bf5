import { fromBytes, type Ip, toBytes } from '@enid/ip';

/** Bytes that are not the netlink message they should be. */
export class MalformedMessageError extends Error {
  override readonly name = 'MalformedMessageError';
}

/** The type field without the NLA_F_NESTED and NLA_F_NET_BYTEORDER bits. */
const TYPE_MASK = 0x3fff;

/** A view on a structure's first bytes. @throws {MalformedMessageError} when there are fewer than `length`. */
export function structure(bytes: Uint8Array, length: number): DataView {
  if (bytes.length < length)
    throw new MalformedMessageError(`${bytes.length} bytes where ${length} are needed`);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The address of 4 or 16 bytes. @throws {MalformedMessageError} for any other length. */
export function readIp(bytes: Uint8Array): Ip {
  if (bytes.length === 4) return bytes.join('.') as Ip;
  if (bytes.length !== 16) throw new MalformedMessageError(`an address of ${bytes.length} bytes`);
  return fromBytes(bytes);
}

/**
 * The attributes (struct nlattr: length, type, value, padding to 4 bytes) of a netlink message, by type.
 * Reading one that is not there gives undefined, so does reading one of an unknown type: it is skipped. Each
 * reader throws {@link MalformedMessageError} for a value that is too short.
 */
export class Attributes {
  readonly #values = new Map<number, Uint8Array>();

  /**
   * @param bytes  a message's payload or a nested attribute's value.
   * @param offset where the first attribute begins.
   * @throws {MalformedMessageError} when an attribute ends beyond the bytes.
   */
  constructor(bytes: Uint8Array, offset = 0) {
    for (const [type, value] of attributesOf(bytes, offset)) this.#values.set(type, value);
  }

  has(type: number): boolean {
    return this.#values.has(type);
  }

  bytes(type: number): Uint8Array | undefined {
    return this.#values.get(type);
  }

  u8(type: number): number | undefined {
    return this.#structure(type, 1)?.getUint8(0);
  }

  u16(type: number): number | undefined {
    return this.#structure(type, 2)?.getUint16(0, true);
  }

  /** A 16-bit number in network byte order, as ports are. */
  u16be(type: number): number | undefined {
    return this.#structure(type, 2)?.getUint16(0);
  }

  u32(type: number): number | undefined {
    return this.#structure(type, 4)?.getUint32(0, true);
  }

  /** A 32-bit number in network byte order, as nftables has them. */
  u32be(type: number): number | undefined {
    return this.#structure(type, 4)?.getUint32(0);
  }

  s32(type: number): number | undefined {
    return this.#structure(type, 4)?.getInt32(0, true);
  }

  /** Text up to the first NUL or the end. */
  string(type: number): string | undefined {
    const value = this.#values.get(type);
    if (!value) return undefined;
    const end = value.indexOf(0);
    return Buffer.from(value.buffer, value.byteOffset, end < 0 ? value.length : end).toString();
  }

  /** An IPv4 or IPv6 address by its length. */
  ip(type: number): Ip | undefined {
    const value = this.#values.get(type);
    return value && readIp(value);
  }

  /** A link-layer address such as `02:00:00:00:00:01`, of any length; '' when it has none. */
  mac(type: number): string | undefined {
    const value = this.#values.get(type);
    return value && Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join(':');
  }

  nested(type: number): Attributes | undefined {
    const value = this.#values.get(type);
    return value && new Attributes(value);
  }

  #structure(type: number, length: number): DataView | undefined {
    const value = this.#values.get(type);
    return value && structure(value, length);
  }
}

/** Walks the attributes in order. Fewer than 4 bytes after the last one are padding. */
export function* attributesOf(bytes: Uint8Array, offset = 0): Generator<[type: number, value: Uint8Array]> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = offset; at + 4 <= bytes.length; ) {
    const length = view.getUint16(at, true);
    if (length < 4 || at + length > bytes.length) {
      throw new MalformedMessageError(`attribute of ${length} bytes at ${at} of ${bytes.length}`);
    }
    yield [view.getUint16(at + 2, true) & TYPE_MASK, bytes.subarray(at + 4, at + length)];
    at += (length + 3) & ~3;
  }
}

/** Builds a message front to back in a buffer that grows. Numbers out of a field's range throw RangeError. */
export class MessageWriter {
  #bytes = new Uint8Array(512);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** A copy of what was written; the writer starts again. */
  take(): Uint8Array {
    const message = this.#bytes.slice(0, this.#length);
    this.#length = 0;
    return message;
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    const at = this.#reserve(1);
    this.#view.setUint8(at, inRange(value, 0, 0xff));
    return this;
  }

  u16(value: number): this {
    const at = this.#reserve(2);
    this.#view.setUint16(at, inRange(value, 0, 0xffff), true);
    return this;
  }

  /** A 16-bit number in network byte order. */
  u16be(value: number): this {
    const at = this.#reserve(2);
    this.#view.setUint16(at, inRange(value, 0, 0xffff));
    return this;
  }

  u32(value: number): this {
    const at = this.#reserve(4);
    this.#view.setUint32(at, inRange(value, 0, 0xffffffff), true);
    return this;
  }

  s32(value: number): this {
    const at = this.#reserve(4);
    this.#view.setInt32(at, inRange(value, -0x80000000, 0x7fffffff), true);
    return this;
  }

  raw(value: Uint8Array): this {
    const at = this.#reserve(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  ip(value: Ip): this {
    return this.raw(toBytes(value));
  }

  /** Sets a 32-bit length field that was written earlier. */
  patchU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  /** Sets a 16-bit length field that was written earlier. */
  patchU16(at: number, value: number): void {
    this.#view.setUint16(at, inRange(value, 0, 0xffff), true);
  }

  /** An attribute whose value `fill` writes: nested attributes, a structure. Padded to 4 bytes. */
  attribute(type: number, fill: () => void): void {
    const start = this.#length;
    this.u16(0).u16(type);
    fill();
    this.patchU16(start, this.#length - start);
    const padding = -this.#length & 3;
    const at = this.#reserve(padding);
    this.#bytes.fill(0, at, at + padding);
  }

  // The attributes below are left out when the value is undefined.

  attributeBytes(type: number, value: Uint8Array | undefined): void {
    if (value !== undefined) this.attribute(type, () => this.raw(value));
  }

  attributeU8(type: number, value: number | undefined): void {
    if (value !== undefined) this.attribute(type, () => this.u8(value));
  }

  attributeU16(type: number, value: number | undefined): void {
    if (value !== undefined) this.attribute(type, () => this.u16(value));
  }

  attributeU16be(type: number, value: number | undefined): void {
    if (value !== undefined) this.attribute(type, () => this.u16be(value));
  }

  attributeU32(type: number, value: number | undefined): void {
    if (value !== undefined) this.attribute(type, () => this.u32(value));
  }

  attributeU32be(type: number, value: number | undefined): void {
    if (value !== undefined) this.attribute(type, () => this.u16be(value >>> 16).u16be(value & 0xffff));
  }

  attributeS32(type: number, value: number | undefined): void {
    if (value !== undefined) this.attribute(type, () => this.s32(value));
  }

  /** NUL-terminated text. */
  attributeString(type: number, value: string | undefined): void {
    if (value !== undefined) this.attribute(type, () => this.raw(Buffer.from(`${value}\0`)));
  }

  attributeIp(type: number, value: Ip | undefined): void {
    if (value !== undefined) this.attribute(type, () => this.ip(value));
  }

  attributeMac(type: number, value: string | undefined): void {
    if (value !== undefined) this.attribute(type, () => this.raw(macBytes(value)));
  }

  /** Takes `count` bytes at the end and returns where they begin. What was looked at before may be another buffer. */
  #reserve(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = new Uint8Array(2 * this.#length);
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}

function inRange(value: number, low: number, high: number): number {
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new RangeError(`${value} is not an integer from ${low} to ${high}`);
  }
  return value;
}

function macBytes(mac: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) {
    throw new TypeError(`"${mac}" is not a MAC address such as 02:00:00:00:00:01`);
  }
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}
