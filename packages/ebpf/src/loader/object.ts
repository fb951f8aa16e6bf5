import { Btf } from '../btf/btf.ts';
import { type BtfExt, parseBtfExt } from '../btf/ext.ts';
import {
  type Elf,
  type ElfSection,
  type ElfSymbol,
  parseElf,
  SHF_ALLOC,
  SHF_EXECINSTR,
  STB_LOCAL,
  STT_FUNC,
} from '../elf/elf.ts';
import { MalformedObjectError } from '../errors.ts';
import type { ProgramType } from '../kinds.ts';
import { type MapSpec, mapsOf } from './map-spec.ts';

/** A function of an executable section; bytes count its instructions. */
export type FunctionSpec = {
  readonly name: string;
  readonly section: ElfSection;
  readonly offset: number;
  readonly size: number;
};

/** A program as its section's name declares it. */
export type ProgramSpec = FunctionSpec & {
  readonly type: ProgramType;
  /** What the section's name says that it is attached to, which follows the kind: `ingress`, `sched/sched_switch`, `do_unlinkat`. */
  readonly target: string;
  /** Whether that is the return of the function. */
  readonly onReturn: boolean;
  /** BPF_F_* of loading. */
  readonly flags: number;
};

const sections: readonly [prefix: string, type: ProgramType, flags?: number][] = [
  ['tc', 'sched_cls'],
  ['tcx', 'sched_cls'],
  ['classifier', 'sched_cls'],
  ['xdp.frags', 'xdp', 1 << 5],
  ['xdp', 'xdp'],
  ['kprobe', 'kprobe'],
  ['kretprobe', 'kprobe'],
  ['tracepoint', 'tracepoint'],
  ['tp', 'tracepoint'],
  ['raw_tracepoint', 'raw_tracepoint'],
  ['raw_tp', 'raw_tracepoint'],
  ['socket', 'socket_filter'],
];

/** What an object file declares. Nothing of it is in the kernel; see {@link loadObject}. */
export type ObjectSpec = {
  readonly elf: Elf;
  readonly btf: Btf | undefined;
  readonly ext: BtfExt | undefined;
  readonly license: string;
  readonly functions: readonly FunctionSpec[];
  readonly programs: ReadonlyMap<string, ProgramSpec>;
  /** Those of `.maps`, and one for each section of global data under the section's name. */
  readonly maps: ReadonlyMap<string, MapSpec>;
};

/**
 * Reads an object file as `clang -target bpf -O2 -g -c` makes it.
 * @throws {MalformedObjectError} also for what this loader does not know.
 */
export function parseObject(file: Uint8Array): ObjectSpec {
  const elf = parseElf(file);
  const named = (name: string) => elf.sections.find((section) => section.name === name);
  const btfSection = named('.BTF');
  const btf = btfSection && new Btf(fixedBtf(btfSection.bytes, elf));
  const extSection = named('.BTF.ext');
  const ext = extSection && btf && parseBtfExt(extSection.bytes, btf);
  if (named('maps'))
    throw new MalformedObjectError('maps are declared in section "maps"; declare them with BTF in ".maps"');

  const functions = elf.symbols
    .filter((symbol) => symbol.type === STT_FUNC)
    .flatMap((symbol) => {
      const section = elf.sections[symbol.section];
      return section ? [functionOf(symbol, section)] : [];
    });
  const programs = elf.symbols
    .filter((symbol) => symbol.type === STT_FUNC && symbol.binding !== STB_LOCAL)
    .flatMap((symbol) => programOf(symbol, elf));
  const license = Buffer.from(named('license')?.bytes ?? [])
    .toString('latin1')
    .replace(/\0.*$/s, '');
  return {
    elf,
    btf,
    ext,
    license,
    functions,
    programs: new Map(programs.map((program) => [program.name, program])),
    maps: mapsOf(elf, btf),
  };
}

function functionOf(symbol: ElfSymbol, section: ElfSection): FunctionSpec {
  const { name, value: offset, size } = symbol;
  const whole = size > 0 && size % 8 === 0 && offset % 8 === 0;
  if (!whole || offset + size > section.bytes.length)
    throw new MalformedObjectError(`function ${name} is not within its section ${section.name}`);
  return { name, section, offset, size };
}

function programOf(symbol: ElfSymbol, elf: Elf): ProgramSpec[] {
  const section = elf.sections[symbol.section];
  if (!section || section.name === '.text' || (section.flags & SHF_EXECINSTR) === 0) return [];
  const [kind, ...target] = section.name.replace(/^\?/, '').split('/');
  const known = sections.find(([prefix]) => prefix === kind);
  if (!known) {
    const names = sections.map(([prefix]) => prefix).join(', ');
    throw new MalformedObjectError(`section "${section.name}" says no known kind of program: ${names}`);
  }
  const [, type, flags = 0] = known;
  const where = { target: target.join('/'), onReturn: kind === 'kretprobe' };
  return [{ ...functionOf(symbol, section), type, ...where, flags }];
}

/**
 * The object's BTF with what only a linker knows: sizes of data sections and where variables are in them, which clang leaves 0.
 * Functions hidden from other objects become static, so that the verifier checks them with their callers' arguments.
 */
function fixedBtf(bytes: Uint8Array, elf: Elf): Uint8Array {
  const fixed = Uint8Array.from(bytes);
  const view = new DataView(fixed.buffer);
  const btf = new Btf(fixed);
  const hidden = new Set(elf.symbols.filter((symbol) => symbol.hidden).map(({ name }) => name));
  for (let id = 1; id < btf.count; id++) {
    const type = btf.type(id);
    const at = btf.offsetOf(id);
    if (type.kind === 'func' && type.linkage === 1 && hidden.has(type.name))
      view.setUint32(at + 4, (view.getUint32(at + 4, true) & ~0xffff) >>> 0, true);
    if (type.kind !== 'datasec') continue;
    const section = elf.sections.find(({ name, flags }) => name === type.name && (flags & SHF_ALLOC) !== 0);
    if (!section) continue;
    view.setUint32(at + 8, section.size, true);
    // The kernel wants them in order.
    const variables = type.variables.map((variable) => {
      const declared = btf.type(variable.type);
      const symbol = elf.symbols.find(
        ({ name, section: index }) =>
          index === section.index && declared.kind === 'var' && name === declared.name,
      );
      return { ...variable, offset: symbol?.value ?? variable.offset };
    });
    variables.sort((a, b) => a.offset - b.offset);
    for (const [i, variable] of variables.entries()) {
      view.setUint32(at + 12 + i * 12, variable.type, true);
      view.setUint32(at + 16 + i * 12, variable.offset, true);
      view.setUint32(at + 20 + i * 12, variable.size, true);
    }
  }
  return fixed;
}
