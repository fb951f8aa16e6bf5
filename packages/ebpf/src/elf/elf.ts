import { MalformedObjectError } from '../errors.ts';

export const SHT_PROGBITS = 1;
export const SHT_NOBITS = 8;
const SHT_SYMTAB = 2;
const SHT_REL = 9;
export const SHF_WRITE = 1;
export const SHF_ALLOC = 2;
export const SHF_EXECINSTR = 4;
const ET_REL = 1;
const EM_BPF = 247;
export const STT_OBJECT = 1;
export const STT_FUNC = 2;
export const STT_SECTION = 3;
export const STB_LOCAL = 0;

/** A relocation: what has to be filled in at `offset` is the address of a symbol. */
export type ElfRelocation = { readonly offset: number; readonly type: number; readonly symbol: ElfSymbol };

export type ElfSymbol = {
  readonly name: string;
  /** Offset in its section. */
  readonly value: number;
  readonly size: number;
  /** Index of its section; 0 when it is not defined here, 0xfff1 for an absolute one. */
  readonly section: number;
  /** STT_*. */
  readonly type: number;
  /** STB_*. */
  readonly binding: number;
  readonly hidden: boolean;
};

export type ElfSection = {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  /** Also of a section without contents (.bss), where `bytes` are empty. */
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly relocations: ElfRelocation[];
};

export type Elf = { readonly sections: readonly ElfSection[]; readonly symbols: readonly ElfSymbol[] };

/**
 * Reads a relocatable object for the BPF machine, ELF64 in little-endian; elf(5). The sections' bytes are views on `file`.
 * @throws {MalformedObjectError}
 */
export function parseElf(file: Uint8Array): Elf {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  if (file.length < 64 || view.getUint32(0) !== 0x7f454c46) throw new MalformedObjectError('not an ELF file');
  if (file[4] !== 2 || file[5] !== 1)
    throw new MalformedObjectError('not a 64-bit little-endian ELF file; compile with -target bpfel');
  if (view.getUint16(16, true) !== ET_REL || view.getUint16(18, true) !== EM_BPF)
    throw new MalformedObjectError('not a BPF object file; compile with clang -target bpf -c');

  const headers = readHeaders(file, view);
  const names = headers[view.getUint16(62, true)];
  if (!names) throw new MalformedObjectError('the table of section names is missing');
  const sections = headers.map((header, index): ElfSection => {
    const { type, flags, size, bytes } = header;
    return { index, name: text(names.bytes, header.name), type, flags, size, bytes, relocations: [] };
  });

  const table = headers.find(({ type }) => type === SHT_SYMTAB);
  const symbols = table ? readSymbols(table, headers[table.link]?.bytes ?? new Uint8Array()) : [];
  for (const header of headers) {
    if (header.type !== SHT_REL) continue;
    const target = sections[header.info];
    if (!target)
      throw new MalformedObjectError(`relocations of a section ${header.info} that does not exist`);
    for (const relocation of readRelocations(header, symbols)) target.relocations.push(relocation);
  }
  return { sections, symbols };
}

type Header = ReturnType<typeof readHeader>;

function readHeaders(file: Uint8Array, view: DataView): Header[] {
  const start = offset64(view, 40);
  const entry = view.getUint16(58, true);
  const count = view.getUint16(60, true);
  if (count > 0 && entry < 64) throw new MalformedObjectError(`section headers of ${entry} bytes`);
  if (start + count * entry > file.length) throw new MalformedObjectError('section headers beyond the end');
  return Array.from({ length: count }, (_, index) => readHeader(file, view, start + index * entry));
}

function readHeader(file: Uint8Array, view: DataView, at: number) {
  const type = view.getUint32(at + 4, true);
  const offset = offset64(view, at + 24);
  const size = offset64(view, at + 32);
  const stored = type === SHT_NOBITS || type === 0 ? 0 : size;
  if (stored > 0 && offset + stored > file.length) throw new MalformedObjectError('a section beyond the end');
  return {
    name: view.getUint32(at, true),
    type,
    flags: offset64(view, at + 8),
    size,
    link: view.getUint32(at + 40, true),
    info: view.getUint32(at + 44, true),
    bytes: stored === 0 ? new Uint8Array() : file.subarray(offset, offset + stored),
  };
}

function readSymbols(table: Header, names: Uint8Array): ElfSymbol[] {
  return [...records(table.bytes, 24)].map((view) => {
    const info = view.getUint8(4);
    return {
      name: text(names, view.getUint32(0, true)),
      value: offset64(view, 8),
      size: offset64(view, 16),
      section: view.getUint16(6, true),
      type: info & 0xf,
      binding: info >> 4,
      hidden: [1, 2].includes(view.getUint8(5) & 3),
    };
  });
}

function readRelocations(table: Header, symbols: readonly ElfSymbol[]): ElfRelocation[] {
  return [...records(table.bytes, 16)].map((view) => {
    const index = view.getUint32(12, true);
    const symbol = symbols[index];
    if (!symbol) throw new MalformedObjectError(`a relocation against symbol ${index}, which does not exist`);
    return { offset: offset64(view, 0), type: view.getUint32(8, true), symbol };
  });
}

function* records(bytes: Uint8Array, length: number): Generator<DataView> {
  for (let at = 0; at + length <= bytes.length; at += length)
    yield new DataView(bytes.buffer, bytes.byteOffset + at, length);
}

/** A 64-bit offset or size. No file is so large that a double could not hold it. */
function offset64(view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  if (value > Number.MAX_SAFE_INTEGER) throw new MalformedObjectError(`an offset of ${value}`);
  return Number(value);
}

function text(table: Uint8Array, at: number): string {
  if (at >= table.length && at !== 0) throw new MalformedObjectError('a name beyond the string table');
  const end = table.indexOf(0, at);
  return Buffer.from(table.subarray(at, end < 0 ? table.length : end)).toString('latin1');
}
