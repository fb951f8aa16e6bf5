import { closeSync, existsSync, readFileSync } from 'node:fs';
import { BpfError } from '../errors.ts';
import { attachTypes } from '../kinds.ts';
import type { Program } from '../loader/program.ts';
import { Attr, addressOf, bpf, cString, ioctl, perfEventOpen } from '../syscalls.ts';
import { Link } from './link.ts';

const PERF_TYPE_TRACEPOINT = 2;
const PERF_EVENT_IOC_ENABLE = 0x2400;
const KPROBE_TYPE = '/sys/bus/event_source/devices/kprobe/type';
const ENOENT = 2;

/** Attaches to a tracepoint, `sched/sched_switch`, by default that of the program's section. Needs kernel 5.15. */
export function attachTracepoint(
  program: Program,
  tracepoint = program.target,
  options: { tracefs?: string } = {},
): Link {
  const roots = options.tracefs ? [options.tracefs] : ['/sys/kernel/tracing', '/sys/kernel/debug/tracing'];
  const root = roots.find((root) => existsSync(`${root}/events`));
  if (!root)
    throw new BpfError('perf_event_open', ENOENT, tracepoint, 'mount -t tracefs tracefs /sys/kernel/tracing');
  const path = `${root}/events/${tracepoint}/id`;
  if (!existsSync(path))
    throw new BpfError('perf_event_open', ENOENT, tracepoint, 'the kernel has no such tracepoint');
  return attach(program, tracepoint, event(PERF_TYPE_TRACEPOINT, BigInt(readFileSync(path, 'utf8').trim())));
}

/** Attaches to the beginning of a kernel function, or its return; by default as the program's section says. Needs kernel 5.15. */
export function attachKprobe(
  program: Program,
  symbol = program.target,
  { onReturn = program.onReturn, offset = 0 }: { onReturn?: boolean; offset?: number } = {},
): Link {
  if (!existsSync(KPROBE_TYPE))
    throw new BpfError('perf_event_open', ENOENT, symbol, 'the kernel is built without CONFIG_KPROBES');
  const name = cString(symbol);
  const attr = event(Number(readFileSync(KPROBE_TYPE, 'utf8')), onReturn ? 1n : 0n);
  const view = new DataView(attr.buffer);
  view.setBigUint64(56, addressOf(name), true);
  view.setBigUint64(64, BigInt(offset), true);
  return attach(program, symbol, attr);
}

/** struct perf_event_attr. */
function event(type: number, config: bigint): Uint8Array<ArrayBuffer> {
  const attr = new Uint8Array(112);
  const view = new DataView(attr.buffer);
  view.setUint32(0, type, true);
  view.setUint32(4, attr.length, true);
  view.setBigUint64(8, config, true);
  view.setBigUint64(16, 1n, true);
  return attr;
}

function attach(program: Program, subject: string, attr: Uint8Array): Link {
  const fd = perfEventOpen(attr, subject);
  try {
    const create = new Attr().u32(0, program.fd).u32(4, fd).u32(8, attachTypes.perfEvent);
    const link = new Link(bpf('BPF_LINK_CREATE', create, subject, 'links to perf events need kernel 5.15'));
    ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
    return link;
  } finally {
    closeSync(fd);
  }
}
