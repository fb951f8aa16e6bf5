/** A node with pods for tests, in network namespaces of their own, and packets made by hand. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import {
  type Cidr,
  type Ipv4,
  type Ipv4Cidr,
  type Ipv6,
  parseCidr,
  parseIp,
  parseIpv4,
  toBytes,
} from '@enid/ip';
import {
  addAddress,
  addLink,
  addNeighbour,
  addRoute,
  NetNamespace,
  Nftables,
  Rtnetlink,
  setLink,
  sysctl,
} from '@enid/linux';
import koffi from 'koffi';
import { type DirectionRules, type PeerRule, type PodRules, type PolicyRules, unbound } from '../rules.ts';
import { DataPlane, type DataPlaneOptions } from './index.ts';

const GATEWAY = '169.254.1.1' as Ipv4;
/** The node's own address. */
export const NODE = '10.0.0.10' as Ipv4;

export type TestPod = {
  readonly ns: NetNamespace;
  readonly address: Ipv4;
  readonly ifindex: number;
  readonly wire: Wire;
};
/** The same pod, by IPv6. */
export type TestPod6 = Omit<TestPod, 'address'> & { readonly address: Ipv6 };

type Cleanup = Pick<TestContext, 'after'>;
let made = 0;

/** Clean-ups that run last one first, whatever some throw. */
function stackOf(t: Cleanup): DisposableStack {
  const stack = new DisposableStack();
  t.after(() => stack.dispose());
  return stack;
}

export class Testbed {
  readonly name: string = `dp${process.pid}-${++made}`;
  readonly node: NetNamespace;
  /** A BPF file system. */
  readonly directory: string;
  readonly #stack: DisposableStack;
  #pods = 0;

  /** A node that forwards and tracks connections, as nodes do: that puts fragments together, and takes them apart again. */
  constructor(t: Cleanup) {
    this.#stack = stackOf(t);
    this.directory = mkdtempSync(join(tmpdir(), 'policy-test-'));
    run('mount', '-t', 'bpf', 'bpf', this.directory);
    this.#stack.defer(() => {
      run('umount', this.directory);
      rmdirSync(this.directory);
    });
    this.node = this.#namespace('node');
    using netlink = Rtnetlink.open(this.node);
    sysctl.set(this.node, 'net.ipv4.ip_forward', 1);
    // What comes with the node's own address is left for the programs to judge.
    sysctl.set(this.node, 'net.ipv4.conf.all.accept_local', 1);
    const lo = netlink.link('lo')!.index;
    netlink.execute([
      setLink('lo', { up: true }),
      addAddress({ index: lo, address: NODE, prefixLength: 32 }),
    ]);
    new Nftables(this.node).applySync(
      'table ip tracked { chain nat { type nat hook postrouting priority srcnat; }; }',
    );
  }

  /** Opens a data plane, which is closed when the test ends. */
  async open(options: Partial<DataPlaneOptions> = {}): Promise<DataPlane> {
    const dataPlane = await DataPlane.open({
      directory: join(this.directory, 'policy'),
      ns: this.node,
      ...options,
    });
    this.#stack.defer(() => void dataPlane.close());
    return dataPlane;
  }

  /**
   * A pod, wired as the agent does. Addresses are 10.0.1.1, 10.0.1.2 and so on. A silent one answers nothing by itself.
   * @param index of its link on the node.
   */
  pod({ silent = false, index: wanted }: { silent?: boolean; index?: number } = {}): TestPod {
    const link = `eni${++this.#pods}`;
    const address = parseIpv4(`10.0.1.${this.#pods}`);
    const ns = this.#namespace(link);
    using onNode = Rtnetlink.open(this.node);
    onNode.execute([
      addLink({
        kind: 'veth',
        name: link,
        ...(wanted && { index: wanted }),
        peer: { name: 'eth0', netns: ns },
      }),
    ]);
    const { index, mac } = onNode.link(link)!;
    using inPod = Rtnetlink.open(ns);
    const eth0 = inPod.link('eth0')!;
    onNode.execute([
      setLink(index, { up: true }),
      addRoute({ destination: `${address}/32` as Ipv4Cidr, oif: index, prefSource: NODE }),
      addNeighbour({ index, address, mac: eth0.mac! }),
    ]);
    inPod.execute([
      setLink('lo', { up: true }),
      setLink(eth0.index, { up: true }),
      addAddress({ index: eth0.index, address, prefixLength: 32 }),
      addNeighbour({ index: eth0.index, address: GATEWAY, mac: mac! }),
      addRoute({ destination: `${GATEWAY}/32` as Ipv4Cidr, oif: eth0.index }),
      addRoute({ destination: 'default', gateway: GATEWAY, oif: eth0.index }),
    ]);
    if (silent)
      new Nftables(ns).applySync(
        'table ip silent { chain in { type filter hook prerouting priority raw; drop; }; }',
      );
    const wire = new Wire(ns, eth0.index, { from: eth0.mac!, to: mac! });
    this.#stack.defer(() => wire.close());
    return { ns, address, ifindex: index, wire };
  }

  /** Gives a pod an IPv6 address, fd00::1, fd00::2 and so on, to which the node forwards. It answers nothing by itself. */
  ipv6(pod: TestPod): TestPod6 {
    const [, , , number] = pod.address.split('.');
    const [link, address] = [`eni${number}`, parseIp(`fd00::${number}`) as Ipv6];
    const onNode = this.node.run(() => shown(link));
    const inPod = pod.ns.run(() => shown('eth0'));
    for (const ns of [this.node, pod.ns]) sysctl.set(ns, 'net.ipv6.conf.all.disable_ipv6', 0);
    sysctl.set(this.node, 'net.ipv6.conf.all.forwarding', 1);
    const ip = (...args: string[]) => run('ip', '-6', ...args);
    pod.ns.run(() => {
      ip('addr', 'add', `${address}/128`, 'dev', 'eth0', 'nodad');
      ip('neigh', 'add', 'fe80::1', 'lladdr', onNode.address, 'dev', 'eth0', 'nud', 'permanent');
      ip('route', 'add', 'default', 'via', 'fe80::1', 'dev', 'eth0');
    });
    this.node.run(() => {
      ip('neigh', 'add', address, 'lladdr', inPod.address, 'dev', link, 'nud', 'permanent');
      ip('route', 'add', `${address}/128`, 'dev', link);
    });
    new Nftables(pod.ns).applySync(
      'table ip6 silent { chain in { type filter hook prerouting priority raw; drop; }; }',
    );
    const macs = { from: inPod.address, to: onNode.address };
    const wire = new Wire(pod.ns, inPod.ifindex, macs, ETH_P_IPV6);
    this.#stack.defer(() => wire.close());
    return { ...pod, address, wire };
  }

  deleteLink(pod: TestPod): void {
    this.node.run(() => run('ip', 'link', 'del', `eni${pod.address.split('.')[3]}`));
  }

  /** The filters of a pod's link, as tc(8) prints them. */
  filters(pod: TestPod): string {
    const name = `eni${pod.address.split('.')[3]}`;
    return this.node.run(() =>
      ['ingress', 'egress'].map((hook) => run('tc', 'filter', 'show', 'dev', name, hook)).join(''),
    );
  }

  #namespace(suffix: string): NetNamespace {
    const name = `${this.name}-${suffix}`;
    const ns = NetNamespace.create(name);
    this.#stack.defer(() => {
      ns.close();
      NetNamespace.delete(name);
    });
    // Only what a test sends is to be counted, not what the kernel tells neighbours and multicast routers.
    for (const link of ['all', 'default']) sysctl.set(ns, `net.ipv6.conf.${link}.disable_ipv6`, 1);
    return ns;
  }
}

/** Of a link in the namespace that the thread is in. */
const shown = (link: string): { readonly ifindex: number; readonly address: string } =>
  JSON.parse(run('ip', '-j', 'link', 'show', 'dev', link))[0];

function run(command: string, ...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

const libc = koffi.load(null);
const c = {
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  bind: libc.func('int bind(int fd, const void *address, uint length)'),
  send: libc.func('long send(int fd, const void *bytes, ulong length, int flags)'),
  recv: libc.func('long recv(int fd, _Out_ void *bytes, ulong length, int flags)'),
  close: libc.func('int close(int fd)'),
};
const [AF_PACKET, SOCK_RAW, MSG_DONTWAIT, ETH_P_IP, ETH_P_IPV6] = [17, 3, 0x40, 0x0800, 0x86dd];

/** The wire at a pod's eth0: packets of IPv4, or of IPv6, as they are. */
export class Wire {
  readonly #fd: number;
  readonly #header: Buffer;
  readonly #buffer = new Uint8Array(4096);

  constructor(
    ns: NetNamespace,
    ifindex: number,
    macs: { readonly from: string; readonly to: string },
    type = ETH_P_IP,
  ) {
    this.#fd = ns.run(() => c.socket(AF_PACKET, SOCK_RAW | 0o2000000, 0));
    const address = new DataView(new ArrayBuffer(20));
    address.setUint16(0, AF_PACKET, true);
    address.setUint16(2, type);
    address.setInt32(4, ifindex, true);
    if (this.#fd < 0 || c.bind(this.#fd, new Uint8Array(address.buffer), 20) !== 0)
      throw new Error('no packet socket');
    const bytes = (mac: string) => mac.split(':').map((part) => Number.parseInt(part, 16));
    this.#header = Buffer.from([...bytes(macs.to), ...bytes(macs.from), type >> 8, type & 0xff]);
    this.#own = Buffer.from(bytes(macs.from));
  }

  readonly #own: Buffer;

  send(packet: Uint8Array): void {
    const frame = Uint8Array.from([...this.#header, ...packet]);
    if (Number(c.send(this.#fd, frame, frame.length, 0)) !== frame.length) throw new Error('send failed');
  }

  /** The packets that have come in since, as hexadecimal text without what routers change (TTL and checksum, or hop limit). */
  received(): string[] {
    const packets = [];
    for (;;) {
      const length = Number(c.recv(this.#fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT));
      if (length <= 0) return packets;
      const frame = Buffer.from(this.#buffer.subarray(0, length));
      if (frame.subarray(0, 6).equals(this.#own)) packets.push(essence(frame.subarray(14)));
    }
  }

  close(): void {
    c.close(this.#fd);
  }
}

/** A packet as it is on every leg of its way. */
export function essence(packet: Uint8Array): string {
  const copy = Buffer.from(packet);
  if (copy[0]! >> 4 === 6) {
    copy[7] = 0;
    return copy.subarray(0, 40 + copy.readUInt16BE(4)).toString('hex');
  }
  copy[8] = 0;
  copy.fill(0, 10, 12);
  return copy.subarray(0, copy.readUInt16BE(2)).toString('hex');
}

/** Whether a packet that one pod sends comes out at another. It is waited for until the programs have counted it. */
export async function passes(
  dataPlane: DataPlane,
  from: Pick<TestPod, 'wire'>,
  to: Pick<TestPod, 'wire'>,
  packet: Uint8Array,
): Promise<boolean> {
  const counted = () => {
    const { ingress, egress } = dataPlane.counters().packets;
    return { denied: ingress.deny + egress.deny, arrived: ingress.allow };
  };
  const before = counted();
  const wanted = essence(packet);
  to.wire.received();
  from.wire.send(packet);
  for (;;) {
    if (to.wire.received().includes(wanted)) return true;
    if (counted().denied > before.denied) return false;
    await setImmediate();
  }
}

type Ends = { readonly from: TestPod | Ipv4; readonly to: TestPod | Ipv4 };
let id = 1;

/** An IPv4 packet. `offset` is in units of 8 bytes. */
export function ipv4(
  { from, to }: Ends,
  protocol: number,
  payload: Uint8Array,
  fragment: { id?: number; offset?: number; more?: boolean; options?: number } = {},
): Buffer {
  const header = Buffer.alloc(20 + (fragment.options ?? 0), 1);
  header.fill(0, 0, 20);
  header[0] = 0x40 | (header.length / 4);
  header.writeUInt16BE(header.length + payload.length, 2);
  header.writeUInt16BE(fragment.id ?? id++ & 0xffff, 4);
  header.writeUInt16BE((fragment.more ? 0x2000 : 0) | (fragment.offset ?? 0), 6);
  header[8] = 64;
  header[9] = protocol;
  const bytes = (end: TestPod | Ipv4) => toBytes(typeof end === 'string' ? end : end.address);
  header.set(bytes(from), 12);
  header.set(bytes(to), 16);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, payload]);
}

function checksum(...parts: Uint8Array[]): number {
  let sum = 0;
  for (const part of parts)
    for (let i = 0; i < part.length; i += 2) sum += (part[i]! << 8) | (part[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** An IPv6 packet: all that is its own, and the sums that a transport needs. @param at where the checksum is in the payload. */
export function ipv6(
  { from, to }: { readonly from: TestPod6; readonly to: TestPod6 },
  next: number,
  payload: Uint8Array,
  at?: number,
): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(payload.length, 4);
  header[6] = next;
  header[7] = 64;
  const ends = [...toBytes(from.address), ...toBytes(to.address)];
  header.set(ends, 8);
  const packet = Buffer.concat([header, payload]);
  if (at !== undefined) {
    const pseudo = Buffer.from([...ends, 0, 0, payload.length >> 8, payload.length & 0xff, 0, 0, 0, next]);
    packet.writeUInt16BE(checksum(pseudo, payload), 40 + at);
  }
  return packet;
}

const ports = (source: number, destination: number, length: number): Buffer => {
  const bytes = Buffer.alloc(length);
  bytes.writeUInt16BE(source, 0);
  bytes.writeUInt16BE(destination, 2);
  return bytes;
};

export const TCP_FLAGS = { FIN: 1, SYN: 2, RST: 4, ACK: 16 } as const;

/** The header of TCP alone, without a checksum. */
export function tcpHeader(source: number, destination: number, flags: number): Buffer {
  const segment = ports(source, destination, 20);
  segment.writeUInt32BE(1000, 4);
  segment[12] = 0x50;
  segment[13] = flags;
  segment.writeUInt16BE(0xffff, 14);
  return segment;
}

/** A TCP segment with a right checksum, or connection tracking would not take it for one. */
export function tcp(ends: Ends, source: number, destination: number, flags: number): Buffer {
  const segment = tcpHeader(source, destination, flags);
  const bytes = (end: TestPod | Ipv4) => toBytes(typeof end === 'string' ? end : end.address);
  const sum = checksum(Buffer.from([...bytes(ends.from), ...bytes(ends.to), 0, 6, 0, 20]), segment);
  segment.writeUInt16BE(sum, 16);
  return ipv4(ends, 6, segment);
}

/** A UDP datagram; a checksum of 0 is none. */
export function udp(ends: Ends, source: number, destination: number, length = 16): Buffer {
  return ipv4(ends, 17, udpPayload(source, destination, length));
}

export function udpPayload(source: number, destination: number, length: number): Buffer {
  const datagram = ports(source, destination, length);
  datagram.writeUInt16BE(length, 4);
  return datagram;
}

/** The common header and one chunk of a type. */
export function sctp(ends: Ends, source: number, destination: number, chunk: number): Buffer {
  const bytes = ports(source, destination, 32);
  bytes[12] = chunk;
  bytes.writeUInt16BE(20, 14);
  return ipv4(ends, 132, bytes);
}

/** An ICMP message. Of an echo `rest` is the identifier. */
export function icmp(
  ends: Ends,
  type: number,
  code: number,
  rest: number,
  data: Uint8Array = Buffer.alloc(8),
): Buffer {
  const message = Buffer.concat([Buffer.from([type, code, 0, 0, rest >> 8, rest & 0xff, 0, 1]), data]);
  message.writeUInt16BE(checksum(message), 2);
  return ipv4(ends, 1, message);
}

type Peer = Omit<PeerRule, 'rule' | 'action' | 'cidr' | 'except'> & {
  readonly cidr: string;
  readonly except?: readonly string[];
};
let policies = 0;

/** A NetworkPolicy, made anew each time, each peer a rule. */
export function policy(...peers: readonly Peer[]): PolicyRules {
  return {
    policy: { kind: 'NetworkPolicy', namespace: 'test', name: `policy-${++policies}` },
    peers: peers.map(({ cidr, except, ...peer }, rule) => ({
      rule,
      action: 'Accept',
      cidr: parseCidr(cidr),
      ...(except && { except: except.map((one): Cidr => parseCidr(one)) }),
      ...peer,
    })),
  };
}

export const port = (protocol: 'TCP' | 'UDP' | 'SCTP', from: number, to = from) => ({ protocol, from, to });

const one = (policies: readonly PolicyRules[] | undefined): DirectionRules => ({
  ...unbound('allow'),
  networkPolicies: policies ?? [],
});

/** Rules of a pod that these policies isolate; a direction without policies is open. */
export const rules = (by: {
  ingress?: readonly PolicyRules[];
  egress?: readonly PolicyRules[];
}): PodRules => ({
  ingress: one(by.ingress),
  egress: one(by.egress),
});

export const OPEN: PodRules = rules({});
