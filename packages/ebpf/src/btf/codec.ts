import { MalformedObjectError } from '../errors.ts';
import type { Btf, BtfMember, BtfType } from './btf.ts';

/**
 * A value of C as JavaScript has it: integers up to 32 bits are numbers, longer ones and pointers bigints; enumerators are
 * their names; arrays of char are text up to the first NUL; structures are objects, anonymous members part of them.
 */
// biome-ignore lint/suspicious/noExplicitAny: the shape is known at run time alone
export type BpfValue = any;

/** Writes and reads values of one type. */
export type Codec<T = BpfValue> = {
  /** In bytes. */
  readonly size: number;
  /** Writes a value over bytes that are zero. @throws {TypeError | RangeError} when it does not fit the type. */
  encode(value: T, view: DataView, offset: number): void;
  decode(view: DataView, offset: number): T;
};

const cached = new WeakMap<Btf, Map<number, Codec>>();

/** The codec of a type. @throws {MalformedObjectError} for what has no values, such as a function. */
export function codecOf(btf: Btf, id: number): Codec {
  return nested(btf, id, 0);
}

/** Built once a type, or types that contain others twice would take exponential time. */
function nested(btf: Btf, id: number, depth: number): Codec {
  const codecs = cached.get(btf) ?? new Map<number, Codec>();
  cached.set(btf, codecs);
  const codec = codecs.get(id) ?? build(btf, id, depth);
  codecs.set(id, codec);
  return codec;
}

/** Bytes as they are. */
export function bytesCodec(size: number): Codec<Uint8Array> {
  return {
    size,
    encode(value, view, offset) {
      if (!(value instanceof Uint8Array)) throw new TypeError(`takes ${size} bytes as a Uint8Array`);
      if (value.length !== size) throw new RangeError(`${value.length} bytes where ${size} are needed`);
      new Uint8Array(view.buffer, view.byteOffset + offset, size).set(value);
    },
    decode: (view, offset) =>
      new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice(offset, offset + size),
  };
}

/** An unsigned 32-bit number. */
export const u32Codec: Codec<number> = integer(4, false) as Codec<number>;

function build(btf: Btf, id: number, depth: number): Codec {
  if (depth > 32) throw new MalformedObjectError(`BTF type ${id} is nested too deep`);
  const type = btf.resolve(id);
  switch (type.kind) {
    case 'int':
      return type.bool ? boolean : integer(type.size, type.signed);
    case 'ptr':
      return integer(8, false);
    case 'enum':
      return enumeration(type);
    case 'float':
      return float(type.size);
    case 'array':
      return array(btf, type, depth);
    case 'struct':
    case 'union':
      return structure(btf, type, depth);
    case 'var':
      return nested(btf, type.type, depth + 1);
    case 'datasec':
      return dataSection(btf, type, depth);
    default:
      throw new MalformedObjectError(`a ${type.kind} has no values`);
  }
}

const boolean: Codec<boolean> = {
  size: 1,
  encode: (value, view, offset) => view.setUint8(offset, value ? 1 : 0),
  decode: (view, offset) => view.getUint8(offset) !== 0,
};

function integer(size: number, signed: boolean): Codec<number | bigint> {
  const bits = size * 8;
  const [least, most] = signed
    ? [-(1n << BigInt(bits - 1)), (1n << BigInt(bits - 1)) - 1n]
    : [0n, (1n << BigInt(bits)) - 1n];
  return {
    size,
    encode(value, view, offset) {
      const number = integral(value);
      if (number < least || number > most) throw new RangeError(`${value} does not fit ${bits} bits`);
      write(view, offset, size, number);
    },
    decode(view, offset) {
      if (size === 4) return signed ? view.getInt32(offset, true) : view.getUint32(offset, true);
      const number = read(view, offset, size);
      const value = signed ? BigInt.asIntN(bits, number) : number;
      return size < 8 ? Number(value) : value;
    },
  };
}

function integral(value: unknown): bigint {
  if (typeof value === 'bigint') return value;
  if (Number.isInteger(value)) return BigInt(value as number);
  throw new TypeError(`${typeof value === 'object' ? 'an object' : `"${value}"`} where an integer is needed`);
}

function write(view: DataView, offset: number, size: number, value: bigint): void {
  if (size === 8) view.setBigUint64(offset, BigInt.asUintN(64, value), true);
  else if (size === 4) view.setUint32(offset, Number(BigInt.asUintN(32, value)), true);
  else for (let i = 0; i < size; i++) view.setUint8(offset + i, Number((value >> BigInt(8 * i)) & 0xffn));
}

function read(view: DataView, offset: number, size: number): bigint {
  if (size === 8) return view.getBigUint64(offset, true);
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(view.getUint8(offset + i));
  return value;
}

function enumeration(type: BtfType & { kind: 'enum' }): Codec {
  const number = integer(type.size, type.signed);
  const names = new Map(type.values.map(({ name, value }) => [value, name]));
  const values = new Map(type.values.map(({ name, value }) => [name, value]));
  return {
    size: type.size,
    encode(value, view, offset) {
      const known = typeof value === 'string' ? values.get(value) : value;
      if (known === undefined)
        throw new TypeError(`"${value}" is none of ${[...values.keys()].slice(0, 20).join(', ')}`);
      number.encode(known, view, offset);
    },
    decode(view, offset) {
      const value = number.decode(view, offset);
      return names.get(BigInt(value)) ?? value;
    },
  };
}

function float(size: number): Codec {
  if (size !== 4 && size !== 8) return bytesCodec(size);
  return {
    size,
    encode: (value: number, view, offset) =>
      size === 4 ? view.setFloat32(offset, value, true) : view.setFloat64(offset, value, true),
    decode: (view, offset) => (size === 4 ? view.getFloat32(offset, true) : view.getFloat64(offset, true)),
  };
}

function array(btf: Btf, type: BtfType & { kind: 'array' }, depth: number): Codec {
  const element = btf.resolve(type.type);
  const size = btf.sizeOf(type.type) * type.length;
  if (element.kind === 'int' && element.size === 1 && element.name === 'char') return text(type.length);
  const codec = nested(btf, type.type, depth + 1);
  const length = codec.size === 0 ? 0 : type.length;
  return {
    size,
    encode(value: ArrayLike<BpfValue>, view, offset) {
      if (typeof value !== 'object' || typeof value?.length !== 'number')
        throw new TypeError('an array is needed');
      if (value.length > length) throw new RangeError(`${value.length} elements where ${length} fit`);
      for (let i = 0; i < value.length; i++)
        at(`[${i}]`, () => codec.encode(value[i], view, offset + i * codec.size));
    },
    decode: (view, offset) => Array.from({ length }, (_, i) => codec.decode(view, offset + i * codec.size)),
  };
}

function text(size: number): Codec<string | Uint8Array> {
  return {
    size,
    encode(value, view, offset) {
      const bytes = typeof value === 'string' ? Buffer.from(value) : Uint8Array.from(value);
      if (bytes.length > size) throw new RangeError(`${bytes.length} bytes of text where ${size} fit`);
      new Uint8Array(view.buffer, view.byteOffset + offset, size).set(bytes);
    },
    decode(view, offset) {
      const bytes = Buffer.from(view.buffer, view.byteOffset + offset, size);
      const end = bytes.indexOf(0);
      return bytes.toString('utf8', 0, end < 0 ? size : end);
    },
  };
}

type Field = { name: string; codec: Codec; offset: number };

function structure(btf: Btf, type: BtfType & { kind: 'struct' | 'union' }, depth: number): Codec {
  const fields: Field[] = [];
  for (const member of type.members) addField(btf, member, depth, fields, type.size);
  return object(type.size, type.name || type.kind, fields);
}

/** Adds a member's field, or those of an anonymous structure. */
function addField(btf: Btf, member: BtfMember, depth: number, fields: Field[], end: number, base = 0): void {
  const offset = base + Math.floor(member.bitOffset / 8);
  const type = btf.resolve(member.type);
  if (member.name === '' && (type.kind === 'struct' || type.kind === 'union')) {
    if (depth > 32) throw new MalformedObjectError('BTF structures are nested too deep');
    for (const inner of type.members) addField(btf, inner, depth + 1, fields, end, offset);
  } else if (member.name !== '') {
    const bits = member.bitSize || (type.kind === 'int' && type.bits < type.size * 8 ? type.bits : 0);
    const codec = bits
      ? bitField(member.bitOffset % 8, bits, 'signed' in type && type.signed)
      : nested(btf, member.type, depth + 1);
    if (offset + codec.size > end)
      throw new MalformedObjectError(`member "${member.name}" beyond its structure`);
    fields.push({ name: member.name, codec, offset });
  }
}

function bitField(shift: number, bits: number, signed: boolean): Codec {
  const size = Math.ceil((shift + bits) / 8);
  const mask = ((1n << BigInt(bits)) - 1n) << BigInt(shift);
  return {
    size,
    encode(value, view, offset) {
      const number = integral(value);
      const fits = signed ? BigInt.asIntN(bits, number) : BigInt.asUintN(bits, number);
      if (fits !== number) throw new RangeError(`${value} does not fit ${bits} bits`);
      const rest = read(view, offset, size) & ~mask;
      write(view, offset, size, rest | ((number << BigInt(shift)) & mask));
    },
    decode(view, offset) {
      const raw = (read(view, offset, size) & mask) >> BigInt(shift);
      const value = signed ? BigInt.asIntN(bits, raw) : raw;
      return bits > 32 ? value : Number(value);
    },
  };
}

function dataSection(btf: Btf, type: BtfType & { kind: 'datasec' }, depth: number): Codec {
  const fields = type.variables.flatMap(({ type: id, offset }) => {
    const variable = btf.type(id);
    return variable.kind === 'var'
      ? [{ name: variable.name, codec: nested(btf, variable.type, depth + 1), offset }]
      : [];
  });
  const end = Math.max(type.size, ...fields.map(({ offset, codec }) => offset + codec.size));
  return object(end, type.name, fields);
}

function object(size: number, name: string, fields: readonly Field[]): Codec {
  const byName = new Map(fields.map((field) => [field.name, field]));
  return {
    size,
    encode(value: Record<string, BpfValue>, view, offset) {
      if (typeof value !== 'object' || value === null) throw new TypeError(`${name} takes an object`);
      for (const [key, part] of Object.entries(value)) {
        const field = byName.get(key);
        if (!field)
          throw new TypeError(`${name} has no field "${key}", but ${[...byName.keys()].join(', ')}`);
        if (part !== undefined) at(`.${key}`, () => field.codec.encode(part, view, offset + field.offset));
      }
    },
    decode(view, offset) {
      const value: Record<string, BpfValue> = {};
      for (const field of fields) value[field.name] = field.codec.decode(view, offset + field.offset);
      return value;
    },
  };
}

/** Runs an encoder; its error says which part of the value it is about. */
function at(place: string, encode: () => void): void {
  try {
    encode();
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError)
      error.message = `${place} ${error.message}`;
    throw error;
  }
}
