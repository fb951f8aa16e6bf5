/** The keys and values of bpf/policy.h, by hand where there are many of them. */
import type { Codec } from '@enid/ebpf';
import { fromBytes, type Ip } from '@enid/ip';
import { lengthOf, type Prefix, writeAddress } from '../compile/index.ts';
import type { Direction } from '../rules.ts';

export const DIRECTIONS: readonly Direction[] = ['ingress', 'egress'];
export const EXEMPT = 0xffff_ffff_ffff_ffffn;

/** Set << 32 | revision. */
export type Binding = bigint;
export type Pod = {
  readonly bindings: Readonly<Record<Direction, Binding>>;
  readonly log: number;
  readonly ifindex: number;
};

export const podCodec: Codec<Pod> = {
  size: 24,
  encode({ bindings, log, ifindex }, view, offset) {
    view.setBigUint64(offset, bindings.ingress, true);
    view.setBigUint64(offset + 8, bindings.egress, true);
    view.setUint32(offset + 16, log, true);
    view.setUint32(offset + 20, ifindex, true);
  },
  decode: (view, offset) => ({
    bindings: { ingress: view.getBigUint64(offset, true), egress: view.getBigUint64(offset + 8, true) },
    log: view.getUint32(offset + 16, true),
    ifindex: view.getUint32(offset + 20, true),
  }),
};

export type PeerKey = { readonly set: number; readonly prefix: Prefix };

/** Keys are written and never read. */
export const peerKeyCodec: Codec<PeerKey> = {
  size: 24,
  encode({ set, prefix }, view, offset) {
    view.setUint32(offset, 32 + lengthOf(prefix), true);
    view.setUint32(offset + 4, set, true);
    writeAddress(prefix, view, offset + 8);
  },
  decode: (view, offset) => ({ set: view.getUint32(offset + 4, true), prefix: 0 }),
};

export type VerdictKey = {
  readonly portClass: number;
  readonly protocol: number;
  readonly port: number;
  readonly bits: number;
};

export const verdictKeyCodec: Codec<VerdictKey> = {
  size: 12,
  encode({ portClass, protocol, port, bits }, view, offset) {
    view.setUint32(offset, 32 + bits, true);
    view.setUint32(offset + 4, portClass, true);
    view.setUint8(offset + 8, protocol);
    view.setUint16(offset + 9, port);
  },
  decode: (view, offset) => ({
    bits: view.getUint32(offset, true) - 32,
    portClass: view.getUint32(offset + 4, true),
    protocol: view.getUint8(offset + 8),
    port: view.getUint16(offset + 9),
  }),
};

export type RuleVerdict = { readonly rule: number; readonly allows: boolean };

export const verdictCodec: Codec<RuleVerdict> = {
  size: 8,
  encode({ rule, allows }, view, offset) {
    view.setUint32(offset, rule, true);
    view.setUint32(offset + 4, allows ? 1 : 0, true);
  },
  decode: (view, offset) => ({
    rule: view.getUint32(offset, true),
    allows: view.getUint32(offset + 4, true) === 1,
  }),
};

export type FlowKey = {
  readonly ifindex: number;
  readonly remoteAddress: Ip;
  readonly remotePort: number;
  readonly localPort: number;
  readonly protocol: number;
};

/** Keys are read and never written. */
export const flowKeyCodec: Codec<FlowKey> = {
  size: 28,
  encode() {
    throw new TypeError('flows are the programs to write');
  },
  decode: (view, offset) => ({
    remoteAddress: addressAt(view, offset),
    ifindex: view.getUint32(offset + 16, true),
    remotePort: view.getUint16(offset + 20, true),
    localPort: view.getUint16(offset + 22, true),
    protocol: view.getUint8(offset + 24),
  }),
};

export type FlowState = {
  readonly binding: Binding;
  readonly rule: number;
  readonly seen: number;
  readonly direction: Direction;
};

export const flowCodec: Codec<FlowState> = {
  size: 24,
  encode: flowKeyCodec.encode as never,
  decode: (view, offset) => ({
    binding: view.getBigUint64(offset, true),
    rule: view.getUint32(offset + 8, true),
    seen: view.getUint32(offset + 12, true),
    direction: DIRECTIONS[view.getUint8(offset + 16)]!,
  }),
};

/** What a flow's `seen` would be now: CLOCK_MONOTONIC in units of 2^30 ns. */
export const ticks = () => Number(process.hrtime.bigint() >> 30n);

export type KernelEvent = {
  /** CLOCK_MONOTONIC. */
  readonly nanoseconds: bigint;
  readonly ifindex: number;
  readonly rule: number;
  readonly loaded: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly source: Ip;
  readonly destination: Ip;
  readonly protocol: number;
  readonly direction: Direction;
  readonly allowed: boolean;
  readonly reason: number;
};

export const eventCodec: Codec<KernelEvent> = {
  size: 64,
  encode: flowKeyCodec.encode as never,
  decode: (view, offset) => ({
    nanoseconds: view.getBigUint64(offset, true),
    ifindex: view.getUint32(offset + 8, true),
    rule: view.getUint32(offset + 12, true),
    loaded: view.getUint32(offset + 16, true),
    sourcePort: view.getUint16(offset + 20, true),
    destinationPort: view.getUint16(offset + 22, true),
    source: addressAt(view, offset + 24),
    destination: addressAt(view, offset + 40),
    protocol: view.getUint8(offset + 56),
    direction: DIRECTIONS[view.getUint8(offset + 57)]!,
    allowed: view.getUint8(offset + 58) === 1,
    reason: view.getUint8(offset + 59),
  }),
};

function addressAt(view: DataView, offset: number): Ip {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + offset, 16);
  const isMapped =
    view.getUint32(offset) === 0 && view.getUint32(offset + 4) === 0 && view.getUint32(offset + 8) === 0xffff;
  return isMapped ? (bytes.subarray(12).join('.') as Ip) : fromBytes(bytes);
}
