import { readFileSync } from 'node:fs';
import { Program } from '../loader/program.ts';
import { mapInfo } from '../maps/map.ts';
import { Attr, addressOf, bpf, Handle, objectInfo } from '../syscalls.ts';

const operations = ['+=', '-=', '*=', '/=', '|=', '&=', '<<=', '>>=', 'neg', '%=', '^=', '=', 's>>='];
const comparisons = ['', '==', '>', '>=', '&', '!=', 's>', 's>=', '', '', '<', '<=', 's<', 's<='];
const widths: Record<number, string> = { 0: 'u32', 1: 'u16', 2: 'u8', 3: 'u64' };
/** Of atomic operations that give what was there before, by their numbers without BPF_FETCH. */
const fetching: Record<number, string> = {
  0: 'fetch_add',
  64: 'fetch_or',
  80: 'fetch_and',
  160: 'fetch_xor',
};
const [BPF_FETCH, XCHG, CMPXCHG] = [0x01, 0xe1, 0xf1];
/** Of the way in which an instruction reaches memory. */
const [MEMSX, ATOMIC] = [4, 6];
const [DIV, MOD, MOV, JCOND] = [3, 9, 11, 14];

/** What an instruction refers to, in words. */
export type Names = { readonly map: (id: number) => string; readonly helper: (offset: number) => string };

/** A program's instructions as the verifier left them, one a line, with the names of helpers and maps. */
export function disassemble(programId: number): string[] {
  using program = Program.byId(programId);
  const info = new Uint8Array(224);
  const view = new DataView(info.buffer);
  objectInfo(program.fd, info);
  const code = new Uint8Array(view.getUint32(20, true));
  info.fill(0);
  view.setUint32(20, code.length, true);
  view.setBigUint64(32, addressOf(code), true);
  objectInfo(program.fd, info);
  return formatInstructions(code, { map: mapName, helper: helperNames() });
}

/** Writes instructions in the manner of the verifier's log. */
export function formatInstructions(code: Uint8Array, names: Names): string[] {
  const view = new DataView(code.buffer, code.byteOffset, code.length);
  const lines: string[] = [];
  for (let at = 0; at + 8 <= code.length; at += 8) {
    const number = at / 8;
    if (code[at] === 0x18 && at + 16 <= code.length) {
      const [kind, low] = [code[at + 1]! >> 4, view.getUint32(at + 4, true)];
      const high = view.getUint32(at + 12, true);
      const what =
        kind === 1
          ? `map ${names.map(low)}`
          : kind === 2
            ? `map ${names.map(low)} + ${high}`
            : `0x${((BigInt(high) << 32n) | BigInt(low)).toString(16)}`;
      lines.push(`${number}: r${code[at + 1]! & 15} = ${what}`);
      at += 8;
    } else lines.push(`${number}: ${format(view, at, names)}`);
  }
  return lines;
}

function format(view: DataView, at: number, names: Names): string {
  const opcode = view.getUint8(at);
  const registers = view.getUint8(at + 1);
  const [to, from] = [`r${registers & 15}`, `r${registers >> 4}`];
  const offset = view.getInt16(at + 2, true);
  const value = view.getInt32(at + 4, true);
  const group = opcode & 7;
  const operation = opcode >> 4;
  const place = (register: string) =>
    `*(${widths[(opcode >> 3) & 3]} *)(${register} ${offset < 0 ? '-' : '+'} ${Math.abs(offset)})`;
  const source = opcode & 8 ? from : String(value);
  const mode = opcode >> 5;
  if (group === 1) return `${to} = ${mode === MEMSX ? place(from).replace('u', 's') : place(from)}`;
  if (group === 2) return `${place(to)} = ${value}`;
  if (group === 3) return mode === ATOMIC ? atomic(value, place(to), from) : `${place(to)} = ${from}`;
  if (group === 4 || group === 7) {
    const narrow = group === 4 ? ' (32 bits)' : '';
    if (operation === 8) return `${to} = -${to}${narrow}`;
    if (operation === 13) return `${to} = ${opcode & 8 ? 'be' : group === 7 ? 'bswap' : 'le'}${value} ${to}`;
    // The offset tells of signed forms, and of a move how many bits are extended by their sign.
    if (operation === MOV && offset !== 0) return `${to} = (s${offset})${from}${narrow}`;
    const signed = (operation === DIV || operation === MOD) && offset === 1 ? 's' : '';
    return `${to} ${signed}${operations[operation] ?? `op${operation}`} ${source}${narrow}`;
  }
  if (group !== 5 && group !== 6) return `unknown instruction 0x${opcode.toString(16)}`;
  const target = at / 8 + 1 + offset;
  if (operation === JCOND) return `may_goto ${target}`;
  if (operation === 9) return 'exit';
  if (operation === 0) return `goto ${group === 6 ? at / 8 + 1 + value : target}`;
  // Of a call within the program, the kernel puts the distance where jumps have theirs.
  if (operation === 8)
    return registers >> 4 === 1 ? `call function at ${target}` : `call ${names.helper(value)}`;
  return `if ${to} ${comparisons[operation] ?? '?'} ${source} goto ${target}${group === 6 ? ' (32 bits)' : ''}`;
}

function atomic(operation: number, place: string, register: string): string {
  const width = place.startsWith('*(u64') ? 'atomic64' : 'atomic';
  const pointer = place.slice(1);
  if (operation === XCHG) return `${register} = ${width}_xchg(${pointer}, ${register})`;
  if (operation === CMPXCHG) return `r0 = ${width}_cmpxchg(${pointer}, r0, ${register})`;
  const fetches = fetching[operation & ~BPF_FETCH];
  if (operation & BPF_FETCH && fetches) return `${register} = ${width}_${fetches}(${pointer}, ${register})`;
  return `lock ${place} ${operations[operation >> 4] ?? `op${operation}`} ${register}`;
}

function mapName(id: number): string {
  try {
    using map = new Handle(bpf('BPF_MAP_GET_FD_BY_ID', new Attr().u32(0, id)), 'map');
    return `${mapInfo(map.fd).name}[${id}]`;
  } catch {
    return `[${id}]`;
  }
}

/** Calls hold the distance from __bpf_call_base; the kernel's symbols say what is there. */
function helperNames(): (offset: number) => string {
  const symbols = readFileSync('/proc/kallsyms', 'latin1');
  const base = /^([0-9a-f]+) . __bpf_call_base$/m.exec(symbols)?.[1];
  return (offset) => {
    // Addresses are zero for whoever may not see them.
    if (!base || /^0+$/.test(base)) return `helper ${offset}`;
    if (offset === 12) return 'bpf_tail_call';
    const address = BigInt.asUintN(64, BigInt(`0x${base}`) + BigInt(offset))
      .toString(16)
      .padStart(16, '0');
    const found = symbols.startsWith(address) ? 0 : symbols.indexOf(`\n${address} `) + 1;
    return symbols.slice(found, found + 200).match(/^[0-9a-f]+ . (\S+)/)?.[1] ?? `helper ${offset}`;
  };
}
