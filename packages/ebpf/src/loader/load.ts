import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type BpfValue, type Codec, codecOf } from '../btf/codec.ts';
import { BpfError, MalformedObjectError } from '../errors.ts';
import { BpfMap } from '../maps/map.ts';
import { Attr, bpf, Handle, prepareMemory } from '../syscalls.ts';
import { linkProgram } from './link.ts';
import type { MapSpec } from './map-spec.ts';
import { type ObjectSpec, parseObject } from './object.ts';
import { Program } from './program.ts';

const EINVAL = 22;
const ENOTSUPP = 524;

export type LoadOptions = {
  /** Values of global variables, constants among them, by name. Constants cannot change afterwards. */
  readonly variables?: Readonly<Record<string, BpfValue>>;
  /** Maps to be used in place of declared ones, by name. They stay the caller's. */
  readonly maps?: Readonly<Record<string, BpfMap>>;
  /** Sizes other than declared, by the map's name. */
  readonly maxEntries?: Readonly<Record<string, number>>;
  /** Which programs to load, all unless given. */
  readonly programs?: readonly string[];
  /** Where maps that are declared as pinned are found or made. */
  readonly pinDirectory?: string;
};

/** The programs and maps of an object file, in the kernel. */
export class BpfObject implements Disposable {
  readonly programs: ReadonlyMap<string, Program>;
  readonly maps: ReadonlyMap<string, BpfMap>;
  readonly spec: ObjectSpec;
  readonly #owned: readonly Handle[];

  /** Use {@link loadObject}. */
  constructor(
    spec: ObjectSpec,
    programs: ReadonlyMap<string, Program>,
    maps: ReadonlyMap<string, BpfMap>,
    owned: readonly Handle[],
  ) {
    this.spec = spec;
    this.programs = programs;
    this.maps = maps;
    this.#owned = owned;
  }

  /** @throws {Error} naming those there are. */
  program(name: string): Program {
    return named(this.programs, name, 'program');
  }

  /** A map of `.maps`, or global data by its section. @throws {Error} naming those there are. */
  map<K = BpfValue, V = BpfValue>(name: string): BpfMap<K, V> {
    return named(this.maps, name, 'map') as BpfMap<K, V>;
  }

  /** The value of a global variable now. */
  read(variable: string): BpfValue {
    const { map, codec, offset } = this.#variable(variable);
    const bytes = dataBytes(map);
    return codec.decode(new DataView(bytes.buffer), offset);
  }

  /** Sets a global variable. Others in its section are written back as they were just before. */
  write(variable: string, value: BpfValue): void {
    const { map, codec, offset } = this.#variable(variable);
    const bytes = dataBytes(map);
    bytes.fill(0, offset, offset + codec.size);
    codec.encode(value, new DataView(bytes.buffer), offset);
    raw(map).update(0, bytes);
  }

  /** The codec of a structure that the object defines, such as that of its events. */
  codec(struct: string): Codec {
    const { btf } = this.spec;
    const id = btf?.find(struct, 'struct', 'union', 'typedef');
    if (!btf || id === undefined) throw new Error(`the object defines no structure ${struct}`);
    return codecOf(btf, id);
  }

  /** Lets go of all programs and maps. What is attached by a link that is kept, or pinned, stays. */
  close(): void {
    for (const handle of this.#owned) handle.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #variable(name: string) {
    const place = variableOf(this.spec, name);
    return { ...place, map: this.map(place.section) };
  }
}

/**
 * Loads an object file into the kernel: its types, maps, global data and programs. Nothing stays when a step fails,
 * pinned maps apart.
 * @throws {MalformedObjectError} when it is no object file, {@link VerifierError} when a program is refused, {@link BpfError}.
 */
export function loadObject(file: Uint8Array | ObjectSpec, options: LoadOptions = {}): BpfObject {
  prepareMemory();
  const spec = file instanceof Uint8Array ? parseObject(file) : file;
  const owned: Handle[] = [];
  const own = <T extends Handle>(handle: T): T => {
    owned.push(handle);
    return handle;
  };
  try {
    for (const [section, ids] of spec.ext?.coreRelocations ?? [])
      if (ids.length > 0)
        throw new MalformedObjectError(
          `${section} asks for relocations against the kernel's types (CO-RE), which are not supported`,
        );
    const btf = spec.btf && own(new Handle(loadBtf(spec.btf.bytes), 'BTF'));
    const maps = new Map<string, BpfMap>();
    const context: MapContext = { options, btfFd: btf?.fd ?? 0, own };
    const data = initialData(spec, options.variables ?? {});
    // Maps that hold others come last.
    const ordered = [...spec.maps.values()].sort((a, b) => Number(!!a.inner) - Number(!!b.inner));
    for (const map of ordered) {
      const given = options.maps?.[map.name];
      const made = given ?? own(makeMap(map, context));
      maps.set(map.name, made);
      const bytes = data.get(map.name);
      if (!given && map.data && bytes) {
        raw(made).update(0, bytes);
        if (map.data.readonly) made.freeze();
      }
    }
    for (const wanted of options.programs ?? []) named(spec.programs, wanted, 'program');
    const programs = new Map<string, Program>();
    for (const program of spec.programs.values()) {
      if (options.programs && !options.programs.includes(program.name)) continue;
      const linked = linkProgram(spec, program);
      const view = new DataView(linked.instructions.buffer);
      for (const { at, map } of linked.maps) view.setInt32(at * 8 + 4, maps.get(map)!.fd, true);
      const { name, type, flags } = program;
      const { license } = spec;
      const debug = btf && { ...linked, btfFd: btf.fd };
      const load = { name, type, flags, license, instructions: linked.instructions };
      programs.set(name, own(Program.load(debug ? { ...load, debug } : load, program)));
    }
    for (const map of ordered) {
      if (options.maps?.[map.name]) continue;
      for (const { index, symbol } of map.contents) {
        const value = maps.get(symbol) ?? programs.get(symbol);
        if (value) maps.get(map.name)!.update(index, value);
        else if (!spec.programs.has(symbol))
          throw new MalformedObjectError(
            `map ${map.name} holds ${symbol || 'something'}, which is no map and no program`,
          );
      }
    }
    return new BpfObject(spec, programs, maps, owned);
  } catch (error) {
    for (const handle of owned) handle.close();
    throw error;
  }
}

type MapContext = { options: LoadOptions; btfFd: number; own: <T extends Handle>(handle: T) => T };

function makeMap(spec: MapSpec, context: MapContext): BpfMap {
  const { options, btfFd } = context;
  const path = spec.pinned ? join(options.pinDirectory ?? '/sys/fs/bpf', spec.name) : undefined;
  const codecs = spec.inner ? { key: spec.key } : { key: spec.key, value: spec.value };
  const shape = { ...spec, maxEntries: options.maxEntries?.[spec.name] ?? spec.maxEntries };
  if (path !== undefined && existsSync(path)) {
    const map = BpfMap.pinned(path, codecs);
    const fields = ['type', 'keySize', 'valueSize', 'maxEntries', 'flags'] as const;
    const differs = fields.find((field) => map.info[field] !== shape[field]);
    if (!differs) return map;
    const [is, wanted] = [map.info[differs], shape[differs]];
    map.close();
    throw new BpfError(
      'BPF_OBJ_GET',
      EINVAL,
      path,
      `its ${differs} is ${is}, not ${wanted}: unlink it, or give maxEntries`,
    );
  }
  const inner = spec.inner && makeMap(spec.inner, context);
  try {
    const map = create(shape, codecs, inner, btfFd);
    if (path !== undefined) map.pin(path);
    return map;
  } finally {
    inner?.close();
  }
}

/** With its types where the kernel takes them, which it does not of every kind of map. */
function create(
  spec: MapSpec,
  codecs: Parameters<typeof BpfMap.create>[1],
  inner: BpfMap | undefined,
  btfFd: number,
): BpfMap {
  const extra = inner ? { inner } : {};
  const { key, value } = spec.types;
  const typed =
    btfFd > 0 && value > 0 && !inner && !['ringbuf', 'prog_array', 'perf_event_array'].includes(spec.type);
  if (typed) {
    try {
      return BpfMap.create(spec, codecs, { ...extra, btf: { fd: btfFd, key, value } });
    } catch (error) {
      if (![EINVAL, ENOTSUPP].includes((error as BpfError).errno)) throw error;
    }
  }
  return BpfMap.create(spec, codecs, extra);
}

function loadBtf(bytes: Uint8Array): number {
  const attr = new Attr().pointer(0, bytes).u32(16, bytes.length);
  return bpf('BPF_BTF_LOAD', attr, `${bytes.length} bytes`);
}

/** The bytes of each data section, with the variables that were given. */
function initialData(
  spec: ObjectSpec,
  variables: Readonly<Record<string, BpfValue>>,
): Map<string, Uint8Array> {
  const data = new Map<string, Uint8Array>();
  for (const map of spec.maps.values()) if (map.data) data.set(map.name, Uint8Array.from(map.data.bytes));
  for (const [name, value] of Object.entries(variables)) {
    const { section, codec, offset } = variableOf(spec, name);
    const bytes = data.get(section)!;
    bytes.fill(0, offset, offset + codec.size);
    codec.encode(value, new DataView(bytes.buffer), offset);
  }
  return data;
}

function variableOf(spec: ObjectSpec, name: string): { section: string; codec: Codec; offset: number } {
  const { btf } = spec;
  for (const map of spec.maps.values()) {
    const type = btf && map.data && map.types.value ? btf.type(map.types.value) : undefined;
    if (type?.kind !== 'datasec') continue;
    for (const { type: id, offset } of type.variables) {
      const variable = btf!.type(id);
      if (variable.kind === 'var' && variable.name === name)
        return { section: map.name, codec: codecOf(btf!, variable.type), offset };
    }
  }
  throw new Error(
    `the object has no global variable ${name}, or clang has optimised it away (make it volatile)`,
  );
}

/** The same map with its bytes as they are. */
function raw(map: BpfMap): { update(key: number, bytes: Uint8Array): void } {
  return {
    update(key, bytes) {
      const attr = new Attr()
        .u32(0, map.fd)
        .pointer(8, new Uint8Array(Uint32Array.of(key).buffer))
        .pointer(16, bytes);
      bpf('BPF_MAP_UPDATE_ELEM', attr, `map ${map.info.name}`);
    },
  };
}

function dataBytes(map: BpfMap): Uint8Array {
  const bytes = new Uint8Array(map.info.valueSize);
  const attr = new Attr().u32(0, map.fd).pointer(8, new Uint8Array(4)).pointer(16, bytes);
  bpf('BPF_MAP_LOOKUP_ELEM', attr, `map ${map.info.name}`);
  return bytes;
}

function named<T>(all: ReadonlyMap<string, T>, name: string, what: string): T {
  const found = all.get(name);
  if (found === undefined)
    throw new Error(`there is no ${what} ${name}, but ${[...all.keys()].join(', ') || 'none'}`);
  return found;
}
