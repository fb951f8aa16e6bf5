import { MalformedObjectError } from '../errors.ts';

export type BtfMember = {
  readonly name: string;
  readonly type: number;
  readonly bitOffset: number;
  /** 0 when it is no bit field. */
  readonly bitSize: number;
};

/** A type as BTF describes it; `type` fields are ids. See Documentation/bpf/btf.rst of the kernel. */
export type BtfType =
  | { readonly kind: 'void' }
  | {
      readonly kind: 'int';
      readonly name: string;
      readonly size: number;
      readonly signed: boolean;
      readonly bool: boolean;
      readonly bits: number;
    }
  | { readonly kind: 'ptr' | 'volatile' | 'const' | 'restrict'; readonly type: number }
  | { readonly kind: 'typedef' | 'typeTag' | 'declTag'; readonly name: string; readonly type: number }
  | { readonly kind: 'array'; readonly type: number; readonly length: number }
  | {
      readonly kind: 'struct' | 'union';
      readonly name: string;
      readonly size: number;
      readonly members: readonly BtfMember[];
    }
  | {
      readonly kind: 'enum';
      readonly name: string;
      readonly size: number;
      readonly signed: boolean;
      readonly values: readonly { readonly name: string; readonly value: bigint }[];
    }
  | { readonly kind: 'fwd'; readonly name: string }
  | { readonly kind: 'float'; readonly name: string; readonly size: number }
  | { readonly kind: 'func'; readonly name: string; readonly type: number; readonly linkage: number }
  | {
      readonly kind: 'funcProto';
      readonly type: number;
      readonly parameters: readonly { readonly name: string; readonly type: number }[];
    }
  | { readonly kind: 'var'; readonly name: string; readonly type: number; readonly linkage: number }
  | {
      readonly kind: 'datasec';
      readonly name: string;
      readonly size: number;
      readonly variables: readonly {
        readonly type: number;
        readonly offset: number;
        readonly size: number;
      }[];
    };

const HEADER_LENGTH = 24;
const MAGIC = 0xeb9f;
/** As deep as the kernel follows types. */
const MAX_DEPTH = 32;

/** The types of an object file or of the kernel. */
export class Btf {
  /** The bytes it was read from. */
  readonly bytes: Uint8Array;
  readonly #types: BtfType[] = [{ kind: 'void' }];
  /** Where each type begins in {@link bytes}. */
  readonly #offsets: number[] = [0];
  readonly #strings: Uint8Array;

  /** @throws {MalformedObjectError} */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (bytes.length < HEADER_LENGTH || view.getUint16(0, true) !== MAGIC || bytes[2] !== 1)
      throw new MalformedObjectError('not BTF of version 1 in little-endian');
    const start = view.getUint32(4, true);
    const at = start + view.getUint32(8, true);
    const end = at + view.getUint32(12, true);
    const strings = start + view.getUint32(16, true);
    const stringsEnd = strings + view.getUint32(20, true);
    if (start < HEADER_LENGTH || end > bytes.length || stringsEnd > bytes.length)
      throw new MalformedObjectError('BTF sections beyond the end');
    this.#strings = bytes.subarray(strings, stringsEnd);
    this.#readTypes(view, at, end);
    this.#checkReferences();
  }

  /** How many types there are; ids are 0 (void) to one less. */
  get count(): number {
    return this.#types.length;
  }

  /** @throws {MalformedObjectError} when there is none of that id. */
  type(id: number): BtfType {
    const type = this.#types[id];
    if (!type) throw new MalformedObjectError(`BTF has no type ${id}`);
    return type;
  }

  /** Where the type's record begins in {@link Btf.bytes}. */
  offsetOf(id: number): number {
    return this.#offsets[id] ?? 0;
  }

  /** The type without typedefs and qualifiers. */
  resolve(id: number): Exclude<BtfType, { kind: 'typedef' | 'volatile' | 'const' | 'restrict' | 'typeTag' }> {
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      const type = this.type(id);
      switch (type.kind) {
        case 'typedef':
        case 'volatile':
        case 'const':
        case 'restrict':
        case 'typeTag':
          id = type.type;
          break;
        default:
          return type as ReturnType<Btf['resolve']>;
      }
    }
    throw new MalformedObjectError(`BTF type ${id} is nested too deep`);
  }

  /** Size in bytes. */
  sizeOf(id: number, depth = 0): number {
    if (depth > MAX_DEPTH) throw new MalformedObjectError(`BTF type ${id} is nested too deep`);
    const type = this.resolve(id);
    switch (type.kind) {
      case 'int':
      case 'enum':
      case 'float':
      case 'struct':
      case 'union':
      case 'datasec':
        return type.size;
      case 'ptr':
        return 8;
      case 'array':
        return type.length * this.sizeOf(type.type, depth + 1);
      case 'var':
        return this.sizeOf(type.type, depth + 1);
      default:
        throw new MalformedObjectError(`a ${type.kind} has no size`);
    }
  }

  /** The id of a type by kind and name; undefined when there is none. */
  find(name: string, ...kinds: BtfType['kind'][]): number | undefined {
    const id = this.#types.findIndex(
      (type) => (kinds as string[]).includes(type.kind) && 'name' in type && type.name === name,
    );
    return id < 0 ? undefined : id;
  }

  /** The text at an offset of the string table. */
  string(offset: number): string {
    if (offset >= this.#strings.length && offset !== 0)
      throw new MalformedObjectError(`a BTF string at ${offset}, beyond the table`);
    const end = this.#strings.indexOf(0, offset);
    return Buffer.from(this.#strings.subarray(offset, end < 0 ? this.#strings.length : end)).toString('utf8');
  }

  #readTypes(view: DataView, at: number, end: number): void {
    while (at < end) {
      if (at + 12 > end) throw new MalformedObjectError('a BTF type beyond the end');
      const { type, length } = this.#readType(view, at, end);
      this.#types.push(type);
      this.#offsets.push(at);
      at += length;
    }
  }

  #readType(view: DataView, at: number, end: number): { type: BtfType; length: number } {
    const name = this.string(view.getUint32(at, true));
    const info = view.getUint32(at + 4, true);
    const sizeOrType = view.getUint32(at + 8, true);
    const count = info & 0xffff;
    const flag = info >>> 31 === 1;
    const u32 = (offset: number) => view.getUint32(at + 12 + offset, true);
    const done = (type: BtfType, extra = 0) => ({ type, length: 12 + extra });
    /** `count` records of `size` bytes behind the type. */
    const records = <T>(size: number, read: (offset: number) => T): T[] => {
      if (at + 12 + count * size > end) throw new MalformedObjectError(`BTF type "${name}" beyond the end`);
      return Array.from({ length: count }, (_, index) => read(index * size));
    };
    const fixed = (size: number) => {
      if (at + 12 + size > end) throw new MalformedObjectError(`BTF type "${name}" beyond the end`);
      return size;
    };
    const kind = (info >>> 24) & 0x1f;
    switch (kind) {
      case 1: {
        const extra = fixed(4);
        const [encoding, bits] = [(u32(0) >>> 24) & 0xf, u32(0) & 0xff];
        const [signed, bool] = [(encoding & 1) !== 0, (encoding & 4) !== 0];
        if (![1, 2, 4, 8, 16].includes(sizeOrType))
          throw new MalformedObjectError(`BTF integer "${name}" of ${sizeOrType} bytes`);
        return done({ kind: 'int', name, size: sizeOrType, signed, bool, bits }, extra);
      }
      case 2:
        return done({ kind: 'ptr', type: sizeOrType });
      case 3: {
        const extra = fixed(12);
        return done({ kind: 'array', type: u32(0), length: u32(8) }, extra);
      }
      case 4:
      case 5: {
        const members = records(12, (offset) => {
          const place = u32(offset + 8);
          return {
            name: this.string(u32(offset)),
            type: u32(offset + 4),
            bitOffset: flag ? place & 0xffffff : place,
            bitSize: flag ? place >>> 24 : 0,
          };
        });
        return done({ kind: kind === 4 ? 'struct' : 'union', name, size: sizeOrType, members }, 12 * count);
      }
      case 6:
      case 19: {
        const wide = kind === 19;
        const values = records(wide ? 12 : 8, (offset) => {
          const low = u32(offset + 4);
          const value = wide ? (BigInt(u32(offset + 8)) << 32n) | BigInt(low) : BigInt(low);
          const bits = wide ? 64 : 32;
          return { name: this.string(u32(offset)), value: flag ? BigInt.asIntN(bits, value) : value };
        });
        if (![1, 2, 4, 8].includes(sizeOrType))
          throw new MalformedObjectError(`BTF enumeration "${name}" of ${sizeOrType} bytes`);
        return done({ kind: 'enum', name, size: sizeOrType, signed: flag, values }, count * (wide ? 12 : 8));
      }
      case 7:
        return done({ kind: 'fwd', name });
      case 8:
        return done({ kind: 'typedef', name, type: sizeOrType });
      case 9:
        return done({ kind: 'volatile', type: sizeOrType });
      case 10:
        return done({ kind: 'const', type: sizeOrType });
      case 11:
        return done({ kind: 'restrict', type: sizeOrType });
      case 12:
        return done({ kind: 'func', name, type: sizeOrType, linkage: count });
      case 13: {
        const parameters = records(8, (offset) => ({
          name: this.string(u32(offset)),
          type: u32(offset + 4),
        }));
        return done({ kind: 'funcProto', type: sizeOrType, parameters }, 8 * count);
      }
      case 14: {
        const extra = fixed(4);
        return done({ kind: 'var', name, type: sizeOrType, linkage: u32(0) }, extra);
      }
      case 15: {
        const variables = records(12, (offset) => ({
          type: u32(offset),
          offset: u32(offset + 4),
          size: u32(offset + 8),
        }));
        return done({ kind: 'datasec', name, size: sizeOrType, variables }, 12 * count);
      }
      case 16:
        if (![2, 4, 8, 12, 16].includes(sizeOrType))
          throw new MalformedObjectError(`BTF float "${name}" of ${sizeOrType} bytes`);
        return done({ kind: 'float', name, size: sizeOrType });
      case 17:
        return done({ kind: 'declTag', name, type: sizeOrType }, fixed(4));
      case 18:
        return done({ kind: 'typeTag', name, type: sizeOrType });
      default:
        throw new MalformedObjectError(`BTF of an unknown kind ${kind}`);
    }
  }

  #checkReferences(): void {
    for (const type of this.#types) {
      const check = (id: number) => this.type(id);
      if ('type' in type) check(type.type);
      if ('members' in type) for (const member of type.members) check(member.type);
      if ('parameters' in type) for (const parameter of type.parameters) check(parameter.type);
      if ('variables' in type) for (const variable of type.variables) check(variable.type);
    }
  }
}
