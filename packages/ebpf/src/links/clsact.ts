import { addClsact, type Request, Rtnetlink } from '@enid/linux';
import type { Program } from '../loader/program.ts';
import type { Interface } from './link.ts';

/** Where a filter of the clsact qdisc stands; a filter with the same numbers is replaced in place. */
export type ClsactFilter = Interface & {
  readonly direction: 'ingress' | 'egress';
  /** Filters run by rising priority, 1 to 65535. */
  readonly priority: number;
  readonly handle: number;
};

const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const NLM_F_CREATE_REPLACE = 0x501;
const NLM_F_REQUEST = 1;

/** Attaches a sched_cls program as a direct-action filter: for kernels before 6.6, which have no TCX. */
export function attachClsact(program: Program, filter: ClsactFilter): void {
  using rtnetlink = Rtnetlink.open(filter.ns);
  const [error] = rtnetlink.batch([addClsact(filter.ifindex)]);
  if (error && error.code !== 'EEXIST') throw error;
  const TCA_BPF_FD = 6;
  const TCA_BPF_NAME = 7;
  const TCA_BPF_FLAGS = 8;
  const options = [
    ...attribute(TCA_BPF_FD, u32(program.fd)),
    ...attribute(TCA_BPF_NAME, [...Buffer.from(program.name), 0]),
    ...attribute(TCA_BPF_FLAGS, u32(1)),
  ];
  rtnetlink.execute([request('RTM_NEWTFILTER', RTM_NEWTFILTER, NLM_F_CREATE_REPLACE, filter, options)]);
}

/** Takes the filter away; the qdisc stays, others may use it. */
export function detachClsact(filter: ClsactFilter): void {
  using rtnetlink = Rtnetlink.open(filter.ns);
  rtnetlink.execute([request('RTM_DELTFILTER', RTM_DELTFILTER, NLM_F_REQUEST, filter, [])]);
}

function request(
  name: string,
  type: number,
  flags: number,
  filter: ClsactFilter,
  options: number[],
): Request {
  const parent = filter.direction === 'ingress' ? 0xfffffff2 : 0xfffffff3;
  const allProtocols = 0x0300;
  const NLM_F_ACK = 4;
  // struct tcmsg, TCA_KIND, TCA_OPTIONS
  const body = [
    ...[0, filter.ifindex, filter.handle, parent, ((filter.priority << 16) | allProtocols) >>> 0].flatMap(
      u32,
    ),
    ...attribute(1, [...Buffer.from('bpf\0')]),
    ...(options.length > 0 ? attribute(2, options) : []),
  ];
  const message = [
    ...u32(16 + body.length),
    ...u32(((flags | NLM_F_ACK) << 16) | type),
    ...u32(0),
    ...u32(0),
    ...body,
  ];
  return { description: `${name} bpf on link ${filter.ifindex}`, message: Uint8Array.from(message) };
}

function attribute(type: number, value: number[]): number[] {
  const length = value.length + 4;
  return [length & 0xff, length >> 8, type, 0, ...value, ...new Array(-length & 3).fill(0)];
}

function u32(value: number): number[] {
  return [...new Uint8Array(Uint32Array.of(value).buffer)];
}
