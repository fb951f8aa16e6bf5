import type { Btf, BtfType } from '../btf/btf.ts';
import { type BpfValue, type Codec, codecOf } from '../btf/codec.ts';
import { type Elf, type ElfSymbol, SHT_NOBITS } from '../elf/elf.ts';
import { MalformedObjectError } from '../errors.ts';
import { type MapType, mapTypes } from '../kinds.ts';
import { dataOf, isData } from './data-section.ts';

const BPF_F_RDONLY_PROG = 1 << 7;
const LIBBPF_PIN_BY_NAME = 1;

/** A map as an object file declares it. */
export type MapSpec = {
  readonly name: string;
  readonly type: MapType;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** Pinned under its name, so that it outlives the process and is found again. */
  readonly pinned: boolean;
  /** BTF ids of key and value, 0 when not declared. */
  readonly types: { readonly key: number; readonly value: number };
  readonly key: Codec | undefined;
  /** Of a ring buffer, the type of its records. */
  readonly value: Codec | undefined;
  /** What the maps in this map are like. */
  readonly inner: MapSpec | undefined;
  /** Maps or programs that it holds from the beginning, by index. */
  readonly contents: readonly { readonly index: number; readonly symbol: string }[];
  /** Of a section of global data, what is in it. */
  readonly data: { readonly bytes: Uint8Array; readonly readonly: boolean } | undefined;
};

const SIZELESS: readonly MapType[] = ['prog_array', 'array_of_maps', 'hash_of_maps', 'perf_event_array'];

/** The maps that an object declares, by name. @throws {MalformedObjectError} */
export function mapsOf(elf: Elf, btf: Btf | undefined): Map<string, MapSpec> {
  const maps = new Map<string, MapSpec>();
  for (const section of elf.sections.filter(isData)) {
    const type = btf?.find(section.name, 'datasec') ?? 0;
    maps.set(section.name, {
      name: section.name,
      type: 'array',
      keySize: 4,
      valueSize: section.size,
      maxEntries: 1,
      flags: dataOf(section).readonly ? BPF_F_RDONLY_PROG : 0,
      pinned: false,
      types: { key: 0, value: type },
      key: undefined,
      value: btf && type ? codecOf(btf, type) : undefined,
      inner: undefined,
      contents: [],
      data: dataOf(section),
    });
  }
  const section = elf.sections.find(({ name }) => name === '.maps');
  if (!section) return maps;
  const datasec = btf?.find('.maps', 'datasec');
  if (!btf || datasec === undefined)
    throw new MalformedObjectError('maps need their BTF: compile with clang -g');
  if (section.type === SHT_NOBITS) throw new MalformedObjectError('section .maps has no contents');
  const type = btf.type(datasec);
  for (const { type: id } of type.kind === 'datasec' ? type.variables : []) {
    const variable = btf.type(id);
    if (variable.kind !== 'var')
      throw new MalformedObjectError('section .maps holds something else than variables');
    const symbol = elf.symbols.find(
      ({ name, section: at }) => name === variable.name && at === section.index,
    );
    if (!symbol) throw new MalformedObjectError(`map ${variable.name} has no symbol`);
    maps.set(variable.name, declared(btf, variable.name, variable.type, { elf, symbol }));
  }
  return maps;
}

/** Reads `struct { __uint(type, ..); __type(key, ..); ... }`: numbers are lengths of arrays, types are pointed to. */
function declared(btf: Btf, name: string, id: number, place?: { elf: Elf; symbol: ElfSymbol }): MapSpec {
  const struct = btf.resolve(id);
  if (struct.kind !== 'struct') throw new MalformedObjectError(`map ${name} is declared as a ${struct.kind}`);
  const numbers = new Map<string, number>();
  const types = { key: 0, value: 0 };
  let inner: MapSpec | undefined;
  let contents: MapSpec['contents'] = [];
  for (const member of struct.members) {
    const type = btf.resolve(member.type);
    if (member.name === 'key' || member.name === 'value') {
      types[member.name] = pointee(name, member.name, type);
    } else if (member.name === 'values') {
      if (type.kind !== 'array') throw new MalformedObjectError(`map ${name}: "values" is no array`);
      const element = btf.resolve(pointee(name, 'values', btf.resolve(type.type)));
      if (element.kind === 'struct')
        inner = declared(btf, `${name}.inner`, pointee(name, 'values', btf.resolve(type.type)));
      if (place) contents = contentsOf(place, member.bitOffset / 8);
    } else {
      const array = btf.resolve(pointee(name, member.name, type));
      if (array.kind !== 'array')
        throw new MalformedObjectError(`map ${name}: "${member.name}" is no number`);
      numbers.set(member.name, array.length);
    }
  }
  const known = [
    'type',
    'max_entries',
    'map_flags',
    'key_size',
    'value_size',
    'pinning',
    'numa_node',
    'map_extra',
  ];
  const unknown = [...numbers.keys()].find((key) => !known.includes(key));
  if (unknown) throw new MalformedObjectError(`map ${name} declares "${unknown}", which is not known`);
  const type = mapTypes[numbers.get('type') ?? 0];
  if (!type || type === 'unspec') throw new MalformedObjectError(`map ${name} has no known type`);
  const size = (id: number, declared: string) =>
    numbers.get(declared) ?? (id ? btf.sizeOf(id) : SIZELESS.includes(type) ? 4 : 0);
  const codec = (id: number): Codec<BpfValue> | undefined =>
    id && !(SIZELESS.includes(type) && id === types.value) ? codecOf(btf, id) : undefined;
  const ring = type === 'ringbuf';
  return {
    name,
    type,
    keySize: size(types.key, 'key_size'),
    valueSize: ring ? 0 : size(types.value, 'value_size'),
    maxEntries:
      numbers.get('max_entries') ?? (contents.length ? Math.max(...contents.map((c) => c.index)) + 1 : 0),
    flags: numbers.get('map_flags') ?? 0,
    pinned: numbers.get('pinning') === LIBBPF_PIN_BY_NAME,
    types,
    key: codec(types.key),
    value: codec(types.value),
    inner,
    contents,
    data: undefined,
  };
}

function pointee(map: string, member: string, type: BtfType): number {
  if (type.kind !== 'ptr') throw new MalformedObjectError(`map ${map}: "${member}" is no pointer`);
  return type.type;
}

/** `.values = { &a, &b }` is a relocation for each element. */
function contentsOf({ elf, symbol }: { elf: Elf; symbol: ElfSymbol }, start: number): MapSpec['contents'] {
  const first = symbol.value + start;
  return (elf.sections[symbol.section]?.relocations ?? [])
    .filter(({ offset }) => offset >= first && offset < symbol.value + symbol.size)
    .map(({ offset, symbol: { name } }) => ({ index: (offset - first) / 8, symbol: name }));
}
