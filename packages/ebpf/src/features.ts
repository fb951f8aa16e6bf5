import { existsSync } from 'node:fs';
import { BpfError } from './errors.ts';
import type { programTypes } from './kinds.ts';
import { Program } from './loader/program.ts';
import { BpfMap } from './maps/map.ts';
import { Attr, Handle, tryBpf } from './syscalls.ts';

const ENODEV = 19;
const EBADF = 9;

type Feature = { readonly needs: string; readonly probe: () => boolean };

const probes = {
  btf: { needs: 'a kernel with CONFIG_DEBUG_INFO_BTF', probe: () => existsSync('/sys/kernel/btf/vmlinux') },
  batchOperations: { needs: 'kernel 5.6', probe: batches },
  statistics: { needs: 'kernel 5.8', probe: statistics },
  ringbuf: { needs: 'kernel 5.8', probe: () => map('ringbuf') },
  perfEventLinks: { needs: 'kernel 5.15', probe: () => linkError('tracepoint', 41, -1) === EBADF },
  xdpLinks: { needs: 'kernel 5.9', probe: () => linkError('xdp', 37, 0x7fffffff) === ENODEV },
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

function map(type: 'ringbuf'): boolean {
  try {
    BpfMap.create({ name: 'probe', type, keySize: 0, valueSize: 0, maxEntries: 4096 }).close();
    return true;
  } catch (error) {
    if ((error as BpfError).errno === 22) return false;
    throw error;
  }
}

/** The error of a link to a target that cannot be: which one tells whether the kernel knows the kind of link. */
function linkError(type: (typeof programTypes)[number], attachType: number, target: number): number {
  // r0 = 0; exit
  const instructions = Uint8Array.from([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
  using program = Program.load({ name: 'probe', type, license: 'GPL', instructions });
  return -tryBpf('BPF_LINK_CREATE', new Attr().u32(0, program.fd).u32(4, target).u32(8, attachType));
}
