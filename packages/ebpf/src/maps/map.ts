import { readFileSync } from 'node:fs';
import type { Btf } from '../btf/btf.ts';
import { type BpfValue, bytesCodec, type Codec, codecOf, u32Codec } from '../btf/codec.ts';
import { btfOf } from '../btf/kernel.ts';
import { BpfError } from '../errors.ts';
import { type MapType, mapTypes } from '../kinds.ts';
import {
  Attr,
  bpf,
  type Command,
  Handle,
  objectInfo,
  openPinned,
  prepareMemory,
  tryBpf,
} from '../syscalls.ts';

const ENOENT = 2;
const ENOSPC = 28;
const EINVAL = 22;
const EOPNOTSUPP = 95;
const ENOTSUPP = 524;

/** Whether an update may make an entry, replace one, or either. */
export type UpdateMode = 'any' | 'create' | 'replace';
const updateFlags: Record<UpdateMode, bigint> = { any: 0n, create: 1n, replace: 2n };

/** How a map is made; sizes are in bytes. */
export type MapShape = {
  readonly name: string;
  readonly type: MapType;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** BPF_F_*. */
  readonly flags?: number;
};

/** What the kernel says of a map. */
export type MapInfo = Required<MapShape> & {
  readonly id: number;
  /** Ids of its types, 0 when it has none. */
  readonly btf: { readonly id: number; readonly key: number; readonly value: number };
};

/** How keys and values are written; bytes as they are by default. */
export type MapCodecs<K, V> = { readonly key?: Codec<K> | undefined; readonly value?: Codec<V> | undefined };

/** Types whose values are file descriptors when written and ids when read. */
const HOLDERS: readonly MapType[] = ['prog_array', 'array_of_maps', 'hash_of_maps'];
const INDEXED: readonly MapType[] = [
  'array',
  'percpu_array',
  'prog_array',
  'array_of_maps',
  'perf_event_array',
];
/** Types whose keys are not walked. */
export const KEYLESS: readonly MapType[] = ['ringbuf', 'queue', 'stack', 'bloom_filter', 'user_ringbuf'];

/**
 * A map of the kernel. Calls are synchronous and throw {@link BpfError}.
 *
 * A per-CPU map's value is an array, one element a possible CPU. A map or program array takes a {@link BpfMap} or program as value
 * and gives back its id.
 */
export class BpfMap<K = BpfValue, V = BpfValue> extends Handle implements Iterable<[K, V]> {
  readonly info: MapInfo;
  readonly key: Codec<K>;
  /** Of one CPU's value, for a per-CPU map. */
  readonly value: Codec<V>;
  readonly #perCpu: boolean;
  /** Bytes of a value as system calls pass it. */
  readonly #stride: number;
  readonly #cpuStride: number;
  readonly #keyBytes: Uint8Array;
  readonly #valueBytes: Uint8Array;
  readonly #attr = new Attr();
  /** Of the commands that take a key alone, and refuse a value. */
  readonly #keyAttr = new Attr();

  private constructor(fd: number, info: MapInfo, codecs: MapCodecs<K, V>) {
    super(fd, `map ${info.name}`);
    this.info = info;
    this.key =
      codecs.key ?? ((INDEXED.includes(info.type) ? u32Codec : bytesCodec(info.keySize)) as Codec<K>);
    this.value =
      codecs.value ?? ((HOLDERS.includes(info.type) ? holderCodec : bytesCodec(info.valueSize)) as Codec<V>);
    this.#perCpu = info.type.includes('percpu');
    this.#cpuStride = (info.valueSize + 7) & ~7;
    this.#stride = this.#perCpu ? this.#cpuStride * possibleCpus() : info.valueSize;
    this.#keyBytes = new Uint8Array(Math.max(info.keySize, 1));
    this.#valueBytes = new Uint8Array(Math.max(this.#stride, 1));
    this.#keyAttr.pointer(8, this.#keyBytes);
    this.#attr.pointer(8, this.#keyBytes).pointer(16, this.#valueBytes);
  }

  /** Makes a map that has no types known to the kernel; those of an object file are made by `BpfObject.load`. */
  static create<K = BpfValue, V = BpfValue>(
    shape: MapShape,
    codecs: MapCodecs<K, V> = {},
    extra: { inner?: BpfMap; btf?: { fd: number; key: number; value: number } } = {},
  ): BpfMap<K, V> {
    prepareMemory();
    const attr = new Attr()
      .u32(0, mapTypes.indexOf(shape.type))
      .u32(4, shape.keySize)
      .u32(8, shape.valueSize)
      .u32(12, shape.maxEntries)
      .u32(16, shape.flags ?? 0)
      .u32(20, extra.inner?.fd ?? 0)
      .name(28, shape.name);
    if (extra.btf) attr.u32(48, extra.btf.fd).u32(52, extra.btf.key).u32(56, extra.btf.value);
    const fd = bpf('BPF_MAP_CREATE', attr, `${shape.type} ${shape.name}`);
    return BpfMap.ofFd(fd, codecs);
  }

  /** Opens a pinned map. Its keys and values are typed by the BTF it was made with. */
  static pinned<K = BpfValue, V = BpfValue>(path: string, codecs?: MapCodecs<K, V>): BpfMap<K, V> {
    return BpfMap.ofFd(openPinned(path), codecs);
  }

  /** Opens a map by the id that the kernel gave it. */
  static byId<K = BpfValue, V = BpfValue>(id: number, codecs?: MapCodecs<K, V>): BpfMap<K, V> {
    return BpfMap.ofFd(bpf('BPF_MAP_GET_FD_BY_ID', new Attr().u32(0, id), `map ${id}`), codecs);
  }

  /** The map behind a file descriptor, which it owns from now on. */
  static ofFd<K = BpfValue, V = BpfValue>(fd: number, codecs?: MapCodecs<K, V>): BpfMap<K, V> {
    const info = mapInfo(fd);
    return new BpfMap(fd, info, codecs ?? (kernelCodecs(info) as MapCodecs<K, V>));
  }

  /** The value of a key; undefined when there is none. */
  lookup(key: K): V | undefined {
    this.#setKey(key);
    return this.#call('BPF_MAP_LOOKUP_ELEM') ? this.#decodeValue(view(this.#valueBytes), 0) : undefined;
  }

  /** Sets a value. @throws {BpfError} EEXIST, ENOENT as `mode` asks; E2BIG when the map is full. */
  update(key: K, value: V, mode: UpdateMode = 'any'): void {
    this.#setKey(key);
    this.#valueBytes.fill(0);
    this.#encodeValue(value, view(this.#valueBytes), 0);
    this.#attr.u32(0, this.fd).u64(24, updateFlags[mode]);
    bpf('BPF_MAP_UPDATE_ELEM', this.#attr, `map ${this.info.name}`);
  }

  /** @returns whether there was such a key. */
  delete(key: K): boolean {
    this.#setKey(key);
    return this.#call('BPF_MAP_DELETE_ELEM', this.#keyAttr);
  }

  /** Takes an entry out; undefined when there is none. Of hashes, kernels take it from 5.14 on. */
  take(key: K): V | undefined {
    this.#setKey(key);
    return this.#call('BPF_MAP_LOOKUP_AND_DELETE_ELEM')
      ? this.#decodeValue(view(this.#valueBytes), 0)
      : undefined;
  }

  /** The key behind `key`, or the first; undefined after the last. From a key that is gone, the first again. */
  nextKey(key?: K): K | undefined {
    const next = new Uint8Array(this.info.keySize);
    const from = key === undefined ? undefined : this.#encodeKeys([key]);
    const attr = new Attr().u32(0, this.fd).pointer(8, from).pointer(16, next);
    const result = tryBpf('BPF_MAP_GET_NEXT_KEY', attr);
    if (result === -ENOENT) return undefined;
    if (result < 0) throw new BpfError('BPF_MAP_GET_NEXT_KEY', -result, `map ${this.info.name}`);
    return this.key.decode(view(next), 0);
  }

  /** All keys, walked one by one. What changes meanwhile may be missed or seen twice. */
  *keys(): Generator<K> {
    let key = this.nextKey();
    while (key !== undefined) {
      // Looked for first: whoever deletes the key that it is given would otherwise begin anew.
      const next = this.nextKey(key);
      yield key;
      key = next;
    }
  }

  /** All entries, by batches where the kernel offers them. What changes meanwhile may be missed or seen twice. */
  *entries(): Generator<[K, V]> {
    if (yield* this.#batches()) return;
    for (const key of this.keys()) {
      const value = this.lookup(key);
      if (value !== undefined) yield [key, value];
    }
  }

  [Symbol.iterator](): Generator<[K, V]> {
    return this.entries();
  }

  /** Sets many entries with one system call. It is no transaction: those before a refused one are set. */
  updateAll(entries: Iterable<readonly [K, V]>, mode: UpdateMode = 'any'): void {
    const list = [...entries];
    if (list.length === 0) return;
    const values = new Uint8Array(list.length * this.#stride);
    const keys = this.#encodeKeys(list.map(([key]) => key));
    for (const [i, [, value]] of list.entries()) this.#encodeValue(value, view(values), i * this.#stride);
    const attr = this.#batch(keys, values, list.length).u64(40, updateFlags[mode]);
    const result = tryBpf('BPF_MAP_UPDATE_BATCH', attr);
    if (unsupported(result)) for (const [key, value] of list) this.update(key, value, mode);
    else if (result < 0) throw this.#partly('BPF_MAP_UPDATE_BATCH', result, attr, list.length);
  }

  /** Deletes many entries with one system call; keys that are not there are passed over. */
  deleteAll(keys: Iterable<K>): void {
    let list = [...keys];
    while (list.length > 0) {
      const attr = this.#batch(this.#encodeKeys(list), undefined, list.length);
      const result = tryBpf('BPF_MAP_DELETE_BATCH', attr);
      if (result >= 0) return;
      // The kernel stops at a key that is not there.
      if (result === -ENOENT) list = list.slice(attr.readU32(32) + 1);
      else if (unsupported(result)) {
        for (const key of list) this.delete(key);
        return;
      } else throw this.#partly('BPF_MAP_DELETE_BATCH', result, attr, list.length);
    }
  }

  /** Keeps user space from writing to it from now on. */
  freeze(): void {
    bpf('BPF_MAP_FREEZE', new Attr().u32(0, this.fd), `map ${this.info.name}`);
  }

  *#batches(): Generator<[K, V], boolean> {
    if (KEYLESS.includes(this.info.type) || HOLDERS.includes(this.info.type)) return false;
    let count = Math.min(4096, Math.max(64, this.info.maxEntries));
    const tokens = [
      new Uint8Array(Math.max(8, this.info.keySize)),
      new Uint8Array(Math.max(8, this.info.keySize)),
    ];
    for (let round = 0; ; ) {
      const keys = new Uint8Array(count * this.info.keySize);
      const values = new Uint8Array(count * this.#stride);
      const attr = this.#batch(keys, values, count)
        .pointer(0, round === 0 ? undefined : tokens[round & 1])
        .pointer(8, tokens[(round + 1) & 1]);
      const result = tryBpf('BPF_MAP_LOOKUP_BATCH', attr);
      if (result === -ENOSPC) {
        // One bucket holds more than that.
        count *= 2;
        continue;
      }
      if (round === 0 && unsupported(result)) return false;
      if (result < 0 && result !== -ENOENT)
        throw new BpfError('BPF_MAP_LOOKUP_BATCH', -result, `map ${this.info.name}`);
      for (let i = 0; i < attr.readU32(32); i++) {
        yield [
          this.key.decode(view(keys), i * this.info.keySize),
          this.#decodeValue(view(values), i * this.#stride),
        ];
      }
      if (result === -ENOENT) return true;
      round += 1;
    }
  }

  #batch(keys: Uint8Array, values: Uint8Array | undefined, count: number): Attr {
    return new Attr().pointer(16, keys).pointer(24, values).u32(32, count).u32(36, this.fd);
  }

  #partly(command: Command, result: number, attr: Attr, count: number): BpfError {
    return new BpfError(
      command,
      -result,
      `map ${this.info.name}, after ${attr.readU32(32)} of ${count} entries`,
    );
  }

  /** @returns false for ENOENT. */
  #call(command: Command, attr: Attr = this.#attr): boolean {
    attr.u32(0, this.fd).u64(24, 0n);
    const result = tryBpf(command, attr);
    if (result === -ENOENT) return false;
    if (result < 0) throw new BpfError(command, -result, `map ${this.info.name}`);
    return true;
  }

  #setKey(key: K): void {
    this.#keyBytes.fill(0);
    this.key.encode(key, view(this.#keyBytes), 0);
  }

  #encodeKeys(keys: readonly K[]): Uint8Array {
    const bytes = new Uint8Array(Math.max(keys.length * this.info.keySize, 1));
    for (const [i, key] of keys.entries()) this.key.encode(key, view(bytes), i * this.info.keySize);
    return bytes;
  }

  #encodeValue(value: V, into: DataView, offset: number): void {
    if (!this.#perCpu) {
      this.value.encode(value, into, offset);
      return;
    }
    if (!Array.isArray(value) || value.length !== possibleCpus())
      throw new TypeError(
        `map ${this.info.name} takes an array of ${possibleCpus()} values, one a possible CPU`,
      );
    for (const [cpu, one] of value.entries()) this.value.encode(one, into, offset + cpu * this.#cpuStride);
  }

  #decodeValue(from: DataView, offset: number): V {
    if (!this.#perCpu) return this.value.decode(from, offset);
    return Array.from({ length: possibleCpus() }, (_, cpu) =>
      this.value.decode(from, offset + cpu * this.#cpuStride),
    ) as V;
  }
}

/** Written as a file descriptor, read as an id. */
const holderCodec: Codec<{ readonly fd: number } | number> = {
  size: 4,
  encode: (value, view, offset) => view.setUint32(offset, typeof value === 'number' ? value : value.fd, true),
  decode: (view, offset) => view.getUint32(offset, true),
};

function unsupported(result: number): boolean {
  return [-EINVAL, -EOPNOTSUPP, -ENOTSUPP].includes(result);
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

let cpus: number | undefined;

/** How many CPUs the kernel keeps a value for in per-CPU maps. */
export function possibleCpus(): number {
  cpus ??= readFileSync('/sys/devices/system/cpu/possible', 'utf8')
    .trim()
    .split(',')
    .reduce((count, range) => {
      const [first, last = first] = range.split('-').map(Number);
      return count + last! - first! + 1;
    }, 0);
  return cpus;
}

/** What the kernel says of the map behind a file descriptor. */
export function mapInfo(fd: number): MapInfo {
  const bytes = new Uint8Array(88);
  objectInfo(fd, bytes);
  const info = view(bytes);
  const u32 = (offset: number) => info.getUint32(offset, true);
  return {
    type: mapTypes[u32(0)] ?? 'unspec',
    id: u32(4),
    keySize: u32(8),
    valueSize: u32(12),
    maxEntries: u32(16),
    flags: u32(20),
    name: Buffer.from(bytes.subarray(24, 40)).toString('latin1').replace(/\0.*$/s, ''),
    btf: { id: u32(64), key: u32(68), value: u32(72) },
  };
}

/** The codecs of a map made with BTF, whoever made it. */
function kernelCodecs(info: MapInfo): MapCodecs<BpfValue, BpfValue> {
  if (info.btf.id === 0 || HOLDERS.includes(info.type)) return {};
  const btf: Btf = btfOf(info.btf.id);
  const codec = (id: number, size: number) => {
    if (id === 0) return undefined;
    const codec = codecOf(btf, id);
    return codec.size === size ? codec : undefined;
  };
  return { key: codec(info.btf.key, info.keySize), value: codec(info.btf.value, info.valueSize) };
}
