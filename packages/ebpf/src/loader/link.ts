import type { LineInfo } from '../btf/ext.ts';
import { type ElfRelocation, SHF_EXECINSTR, STT_SECTION } from '../elf/elf.ts';
import { MalformedObjectError } from '../errors.ts';
import { isData } from './data-section.ts';
import type { FunctionSpec, ObjectSpec, ProgramSpec } from './object.ts';

const LD_IMM64 = 0x18;
const CALL = 0x85;
const PSEUDO_MAP_FD = 1;
const PSEUDO_MAP_VALUE = 2;
const PSEUDO_FUNC = 4;
const PSEUDO_CALL = 1;

/** A program with all functions that it calls, in one piece; only the maps' file descriptors are missing. */
export type LinkedProgram = {
  readonly instructions: Uint8Array;
  /** Where the file descriptor of a map belongs, by the number of the instruction. */
  readonly maps: readonly { readonly at: number; readonly map: string }[];
  /** Which function begins at an instruction; empty unless known of all. */
  readonly functions: readonly { readonly at: number; readonly name: string; readonly type: number }[];
  readonly lines: readonly { readonly at: number; readonly line: LineInfo }[];
};

/**
 * Puts a program together with the functions it calls, as the kernel takes it: calls are relative to the instruction.
 * @throws {MalformedObjectError}
 */
export function linkProgram(object: ObjectSpec, program: ProgramSpec): LinkedProgram {
  const parts: { of: FunctionSpec; base: number }[] = [];
  const bases = new Map<FunctionSpec, number>();
  const calls: { at: number; callee: FunctionSpec }[] = [];
  const maps: { at: number; map: string }[] = [];
  const chunks: Uint8Array[] = [];
  let length = 0;

  const add = (of: FunctionSpec) => {
    if (bases.has(of)) return;
    bases.set(of, length);
    parts.push({ of, base: length });
    chunks.push(Uint8Array.from(of.section.bytes.subarray(of.offset, of.offset + of.size)));
    length += of.size / 8;
  };
  add(entry(object, program));
  for (let i = 0; i < parts.length; i++) {
    const { of, base } = parts[i]!;
    const code = chunks[i]!;
    const view = new DataView(code.buffer);
    const relocations = new Map(of.section.relocations.map((r) => [r.offset - of.offset, r]));
    for (let at = 0; at < code.length; at += 8) {
      const relocation = relocations.get(at);
      const opcode = code[at]!;
      if (opcode === LD_IMM64) {
        if (at + 16 > code.length) throw new MalformedObjectError(`${of.name} ends within an instruction`);
        if (relocation) {
          const target = relocateLoad(object, of, view, at, relocation);
          if (typeof target === 'string') maps.push({ at: base + at / 8, map: target });
          else calls.push({ at: base + at / 8, callee: target });
        }
        at += 8;
      } else if (opcode === CALL && code[at + 1]! >> 4 === PSEUDO_CALL) {
        const imm = view.getInt32(at + 4, true);
        const callee = relocation
          ? functionAt(object, of, relocation, relocation.symbol.value + (imm + 1) * 8)
          : inSection(object, of, of.offset + at + (imm + 1) * 8);
        calls.push({ at: base + at / 8, callee });
      } else if (opcode === CALL && code[at + 1]! >> 4 !== 0) {
        throw new MalformedObjectError(
          `${of.name} calls ${relocation?.symbol.name || 'a kernel function'}, and kernel functions (kfuncs) are not supported`,
        );
      } else if (relocation) {
        throw new MalformedObjectError(
          `${of.name} refers to ${relocation.symbol.name || 'a symbol'} in a way that is not supported`,
        );
      }
      const callee = calls.at(-1)?.callee;
      if (callee) add(callee);
    }
  }

  const instructions = Uint8Array.from(Buffer.concat(chunks));
  const view = new DataView(instructions.buffer);
  for (const { at, callee } of calls) view.setInt32(at * 8 + 4, bases.get(callee)! - at - 1, true);
  return { instructions, maps, ...debugInfo(object, parts) };
}

function entry(object: ObjectSpec, program: ProgramSpec): FunctionSpec {
  const found = object.functions.find((f) => f.section === program.section && f.offset === program.offset);
  return found ?? program;
}

/** Fills in a 64-bit load. @returns the map that it is about, or the function. */
function relocateLoad(
  object: ObjectSpec,
  of: FunctionSpec,
  view: DataView,
  at: number,
  relocation: ElfRelocation,
): string | FunctionSpec {
  const { symbol } = relocation;
  const section = object.elf.sections[symbol.section];
  if (symbol.section === 0 || !section)
    throw new MalformedObjectError(`${of.name} refers to extern ${symbol.name}, which is not defined`);
  const source = (kind: number) => view.setUint8(at + 1, (view.getUint8(at + 1) & 0xf) | (kind << 4));
  const addend = view.getInt32(at + 4, true);
  if (section.name === '.maps') {
    const name =
      symbol.type === STT_SECTION
        ? object.elf.symbols.find(
            (s) => s.section === section.index && s.type !== STT_SECTION && s.value === addend,
          )?.name
        : symbol.name;
    if (name === undefined || !object.maps.has(name))
      throw new MalformedObjectError(`${of.name} refers to ${symbol.name}, which is no map`);
    source(PSEUDO_MAP_FD);
    view.setInt32(at + 4, 0, true);
    return name;
  }
  if (isData(section)) {
    source(PSEUDO_MAP_VALUE);
    view.setInt32(at + 4, 0, true);
    view.setUint32(at + 12, (symbol.value + addend) >>> 0, true);
    return section.name;
  }
  if ((section.flags & SHF_EXECINSTR) !== 0) {
    source(PSEUDO_FUNC);
    return functionAt(object, of, relocation, symbol.value + addend);
  }
  throw new MalformedObjectError(`${of.name} refers to ${symbol.name} in section ${section.name}`);
}

function functionAt(
  object: ObjectSpec,
  of: FunctionSpec,
  { symbol }: ElfRelocation,
  offset: number,
): FunctionSpec {
  const found = object.functions.find((f) => f.section.index === symbol.section && f.offset === offset);
  if (!found)
    throw new MalformedObjectError(`${of.name} calls ${symbol.name || 'a function'}, which is not defined`);
  return found;
}

function inSection(object: ObjectSpec, of: FunctionSpec, offset: number): FunctionSpec {
  const found = object.functions.find((f) => f.section === of.section && f.offset === offset);
  if (!found) throw new MalformedObjectError(`${of.name} calls into the middle of ${of.section.name}`);
  return found;
}

/** func_info and line_info. The kernel takes them of all functions or of none. */
function debugInfo(
  { ext }: ObjectSpec,
  parts: readonly { of: FunctionSpec; base: number }[],
): Pick<LinkedProgram, 'functions' | 'lines'> {
  const none = { functions: [], lines: [] };
  if (!ext) return none;
  const functions = parts.flatMap(({ of, base }) => {
    const info = ext.functions.get(of.section.name)?.find(({ offset }) => offset === of.offset);
    return info ? [{ at: base, name: of.name, type: info.type }] : [];
  });
  if (functions.length < parts.length) return none;
  const lines = parts.flatMap(({ of, base }) =>
    (ext.lines.get(of.section.name) ?? [])
      .filter(({ offset }) => offset >= of.offset && offset < of.offset + of.size)
      .map((line) => ({ at: base + (line.offset - of.offset) / 8, line })),
  );
  return { functions, lines };
}
