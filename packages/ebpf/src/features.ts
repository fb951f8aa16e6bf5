import { existsSync } from 'node:fs';
import { BpfError, VerifierError } from './errors.ts';
import type { ProgramType } from './kinds.ts';
import { Program } from './loader/program.ts';
import { BpfMap } from './maps/map.ts';
import { Attr, Handle, tryBpf } from './syscalls.ts';

const EBADF = 9;
const EINVAL = 22;
const ENODEV = 19;
const ENOTSUPP = 524;
/** The loopback interface, in every network namespace. */
const LOOPBACK = 1;

type Feature = { readonly needs: string; readonly probe: () => boolean };

const probes = {
  btf: { needs: 'a kernel with CONFIG_DEBUG_INFO_BTF', probe: () => existsSync('/sys/kernel/btf/vmlinux') },
  batchOperations: { needs: 'kernel 5.6', probe: batches },
  statistics: { needs: 'kernel 5.8', probe: statistics },
  ringbuf: { needs: 'kernel 5.8', probe: () => maps('ringbuf') },
  // EINVAL is of a link that is not known; in the driver of this interface there is no XDP.
  xdpLinks: { needs: 'kernel 5.9', probe: () => linkError('xdp', 37, LOOPBACK, 4) !== EINVAL },
  coarseClock: { needs: 'kernel 5.11', probe: () => loads('sched_cls', [...call(160), ...RETURN]) },
  takeFromHash: { needs: 'kernel 5.14', probe: takes },
  perfEventLinks: { needs: 'kernel 5.15', probe: () => linkError('tracepoint', 41, -1) === EBADF },
  tcx: { needs: 'kernel 6.6', probe: () => linkError('sched_cls', 46, 0x7fffffff) === ENODEV },
  kprobes: {
    needs: 'a kernel with CONFIG_KPROBES',
    probe: () => existsSync('/sys/bus/event_source/devices/kprobe/type'),
  },
} satisfies Record<string, Feature>;
export type FeatureName = keyof typeof probes;

/** Whether this kernel can do something: tried out, not told from its version, for distributions port features back. */
export function hasFeature(name: FeatureName): boolean {
  return probes[name].probe();
}

/** What this kernel can do; `needs` says since when kernels can. */
export function features(): { name: FeatureName; supported: boolean; needs: string }[] {
  return (Object.keys(probes) as FeatureName[]).map((name) => {
    return { name, supported: hasFeature(name), needs: probes[name].needs };
  });
}

/** @throws {BpfError} "needs kernel 6.6" when this kernel cannot. */
export function requireFeature(name: FeatureName): void {
  if (!hasFeature(name)) throw new BpfError('bpf', 95, name, `needs ${probes[name].needs}`);
}

function batches(): boolean {
  return -tryBpf('BPF_MAP_LOOKUP_BATCH', new Attr().u32(36, 0x7fffffff)) === EBADF;
}

function statistics(): boolean {
  const fd = tryBpf('BPF_ENABLE_STATS', new Attr());
  if (fd >= 0) new Handle(fd, 'statistics').close();
  return fd >= 0;
}

function maps(type: 'ringbuf'): boolean {
  try {
    BpfMap.create({ name: 'probe', type, keySize: 0, valueSize: 0, maxEntries: 4096 }).close();
    return true;
  } catch (error) {
    if ((error as BpfError).errno === EINVAL) return false;
    throw error;
  }
}

function takes(): boolean {
  using map = BpfMap.create({ name: 'probe', type: 'hash', keySize: 4, valueSize: 4, maxEntries: 1 });
  try {
    map.take(new Uint8Array(4));
    return true;
  } catch (error) {
    if ((error as BpfError).errno === ENOTSUPP) return false;
    throw error;
  }
}

/** r0 = 0; exit */
const RETURN = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
const call = (helper: number) => [0x85, 0, 0, 0, helper, 0, 0, 0];

function load(type: ProgramType, instructions: readonly number[]): Program {
  return Program.load({ name: 'probe', type, license: 'GPL', instructions: Uint8Array.from(instructions) });
}

function loads(type: ProgramType, instructions: readonly number[]): boolean {
  try {
    load(type, instructions).close();
    return true;
  } catch (error) {
    if (error instanceof VerifierError) return false;
    throw error;
  }
}

/** The error of a link to a target that cannot be: which one tells whether the kernel knows the kind of link. */
function linkError(type: ProgramType, attachType: number, target: number, flags = 0): number {
  using program = load(type, RETURN);
  const attr = new Attr().u32(0, program.fd).u32(4, target).u32(8, attachType).u32(12, flags);
  const result = tryBpf('BPF_LINK_CREATE', attr);
  if (result >= 0) new Handle(result, 'link').close();
  return -result;
}
