import { BpfError, VerifierError } from '../errors.ts';
import { type ProgramType, programTypes } from '../kinds.ts';
import { Attr, bpf, cString, Handle, objectInfo, openPinned, prepareMemory, tryBpf } from '../syscalls.ts';
import type { LinkedProgram } from './link.ts';
import type { ProgramSpec } from './object.ts';
import { explain } from './verifier.ts';

const EAGAIN = 11;
const ENOSPC = 28;

/** What the kernel takes to make a program. */
export type ProgramLoad = {
  readonly name: string;
  readonly type: ProgramType;
  readonly license: string;
  readonly instructions: Uint8Array;
  readonly flags?: number;
  readonly debug?: Pick<LinkedProgram, 'functions' | 'lines'> & { readonly btfFd: number };
};

type Purpose = Pick<ProgramSpec, 'target' | 'onReturn'>;

/** What a test run is given. */
export type TestRun = {
  /** The packet, with its Ethernet header; tc and XDP programs take at least 14 bytes. */
  readonly data?: Uint8Array;
  /** struct __sk_buff or struct xdp_md, or the arguments of another kind of program. */
  readonly context?: Uint8Array;
  readonly repeat?: number;
  /** How much longer than `data` the packet may come out, 256 bytes unless given. */
  readonly growth?: number;
};

export type TestResult = {
  /** What the program returned. */
  readonly returned: number;
  /** The packet as the program left it. */
  readonly data: Uint8Array;
  readonly context: Uint8Array;
  /** Nanoseconds a run, on average. */
  readonly duration: number;
};

/** A program in the kernel. */
export class Program extends Handle {
  readonly name: string;
  readonly type: ProgramType;
  /** The id that the kernel gave it. */
  readonly id: number;
  /** What its section says it is for: `ingress`, `sched/sched_switch`; empty of a program opened by id or path. */
  readonly target: string;
  /** Whether its section says that it is for the return of a function. */
  readonly onReturn: boolean;

  private constructor(fd: number, { target, onReturn }: Purpose = { target: '', onReturn: false }) {
    const info = new Uint8Array(80);
    objectInfo(fd, info);
    const view = new DataView(info.buffer);
    const name = Buffer.from(info.subarray(64, 80)).toString('latin1').replace(/\0.*$/s, '');
    super(fd, `program ${name}`);
    this.name = name;
    this.type = programTypes[view.getUint32(0, true)] ?? 'unspec';
    this.id = view.getUint32(4, true);
    this.target = target;
    this.onReturn = onReturn;
  }

  /** Loads a program. @throws {VerifierError} when the verifier refuses it, {@link BpfError} for another reason. */
  static load(load: ProgramLoad, purpose?: Purpose): Program {
    prepareMemory();
    return new Program(loadWithLog(load), purpose);
  }

  static pinned(path: string): Program {
    return new Program(openPinned(path));
  }

  static byId(id: number): Program {
    return new Program(bpf('BPF_PROG_GET_FD_BY_ID', new Attr().u32(0, id), `program ${id}`));
  }

  /** Runs the program on a packet of the caller's, BPF_PROG_TEST_RUN; repeated runs begin anew after a signal. */
  testRun({ data, context, repeat = 1, growth = 256 }: TestRun): TestResult {
    const out = new Uint8Array(data ? data.length + growth : 0);
    const contextOut = new Uint8Array(context?.length ?? 0);
    const attr = new Attr()
      .u32(0, this.fd)
      .u32(8, data?.length ?? 0)
      .u32(12, out.length)
      .pointer(16, data)
      .pointer(24, out)
      .u32(32, repeat)
      .u32(40, context?.length ?? 0)
      .u32(44, contextOut.length)
      .pointer(48, context)
      .pointer(56, contextOut);
    bpf('BPF_PROG_TEST_RUN', attr, this.name);
    return {
      returned: attr.readU32(4),
      data: out.subarray(0, attr.readU32(12)),
      context: contextOut.subarray(0, attr.readU32(44)),
      duration: attr.readU32(36),
    };
  }
}

function loadWithLog(load: ProgramLoad): number {
  const silent = attempt(load, undefined);
  if (silent >= 0) return silent;
  for (let size = 1 << 18; ; size *= 8) {
    const log = new Uint8Array(size);
    const result = attempt(load, log);
    if (result >= 0) return result;
    // The log did not fit.
    if (result === -ENOSPC && size < 1 << 27) continue;
    const text = Buffer.from(log.subarray(0, Math.max(0, log.indexOf(0)))).toString('utf8');
    if (!text.trim()) throw new BpfError('BPF_PROG_LOAD', -result, load.name);
    throw new VerifierError(-result, load.name, explain(text, load.debug?.lines ?? []));
  }
}

function attempt(load: ProgramLoad, log: Uint8Array | undefined): number {
  const attr = new Attr()
    .u32(0, programTypes.indexOf(load.type))
    .u32(4, load.instructions.length / 8)
    .pointer(8, load.instructions)
    .pointer(16, cString(load.license))
    .u32(44, load.flags ?? 0)
    .name(48, load.name);
  if (log) attr.u32(24, 1).u32(28, log.length).pointer(32, log);
  if (load.debug && load.debug.functions.length > 0) {
    const { btfFd, functions, lines } = load.debug;
    const functionInfo = Uint32Array.from(functions.flatMap(({ at, type }) => [at, type]));
    const lineInfo = Uint32Array.from(lines.flatMap(({ at, line }) => [at, ...line.raw]));
    attr.u32(72, btfFd).u32(76, 8).pointer(80, new Uint8Array(functionInfo.buffer)).u32(88, functions.length);
    if (lines.length > 0)
      attr.u32(92, 16).pointer(96, new Uint8Array(lineInfo.buffer)).u32(104, lines.length);
  }
  // A signal interrupts the verifier, and Node has many.
  for (let tries = 0; ; tries++) {
    const result = tryBpf('BPF_PROG_LOAD', attr);
    if (result !== -EAGAIN || tries === 10) return result;
  }
}
