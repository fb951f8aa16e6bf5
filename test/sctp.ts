/** SCTP by hand (RFC 9260), over raw sockets: kernels often have none of it. An INIT is answered with an INIT ACK. */
import { randomInt } from 'node:crypto';
import { fromBytes, parseIp, toBytes } from '@enid/ip';
import type { NetNamespace } from '@enid/linux';
import koffi from 'koffi';

const libc = koffi.load(null);
const c = {
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  bind: libc.func('int bind(int fd, const void *address, uint32_t length)'),
  sendto: libc.func(
    'long sendto(int fd, const void *bytes, ulong length, int flags, const void *to, uint32_t size)',
  ),
  recvfrom: libc.func(
    'long recvfrom(int fd, _Out_ void *bytes, ulong length, int flags, _Out_ void *from, _Inout_ uint32_t *size)',
  ),
  setsockopt: libc.func('int setsockopt(int fd, int level, int name, const int *value, uint32_t length)'),
  close: libc.func('int close(int fd)'),
};
const [AF_INET, AF_INET6, SOCK_RAW, SOCK_CLOEXEC, IPPROTO_SCTP, MSG_DONTWAIT] = [
  2, 10, 3, 0o2000000, 132, 0x40,
];
const [IPPROTO_IP, IP_RECVERR, IPPROTO_IPV6, IPV6_RECVERR] = [0, 11, 41, 25];
const [INIT, INIT_ACK] = [1, 2];

/** An association that is begun. */
export type Association = { readonly tag: number; readonly acknowledged: () => boolean };

/** One address that begins associations, and answers to those that others begin on some of its ports. */
export class SctpEndpoint {
  readonly #fd: number;
  readonly #isV6: boolean;
  readonly #ports: ReadonlySet<number>;
  readonly #acknowledged = new Set<number>();
  /** Who has begun associations here, by tag: as this end sees them. */
  readonly begun = new Map<number, string>();
  /** Whether an ICMP error has come, where they are asked for. */
  isRefused = false;
  readonly #buffer = new Uint8Array(2048);
  readonly #from = new Uint8Array(28);

  /**
   * @param address IPv4 or IPv6; 0.0.0.0 or :: for any.
   * @param errors whether ICMP errors are told.
   */
  constructor(
    ns: NetNamespace,
    address: string,
    ports: readonly number[],
    { errors = false }: { readonly errors?: boolean } = {},
  ) {
    this.#ports = new Set(ports);
    this.#isV6 = address.includes(':');
    const family = this.#isV6 ? AF_INET6 : AF_INET;
    this.#fd = ns.run(() => c.socket(family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_SCTP));
    if (this.#fd < 0) throw new Error('no raw socket for SCTP');
    const own = addressOf(address);
    c.bind(this.#fd, own, own.length);
    const [level, name] = this.#isV6 ? [IPPROTO_IPV6, IPV6_RECVERR] : [IPPROTO_IP, IP_RECVERR];
    if (errors) c.setsockopt(this.#fd, level, name, [1], 4);
  }

  /** Sends an INIT. @returns its tag, and whether it has been acknowledged, as far as {@link poll} has seen. */
  begin(to: string, port: number): Association {
    const tag = randomInt(1, 2 ** 32);
    this.#send(to, { from: 1024 + randomInt(60_000), to: port, tag: 0, chunk: INIT, own: tag });
    return { tag, acknowledged: () => this.#acknowledged.delete(tag) };
  }

  /** Takes what has come, and answers it. */
  poll(): void {
    for (;;) {
      const length = Number(
        c.recvfrom(this.#fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT, this.#from, [
          this.#from.length,
        ]),
      );
      if (length <= 0) {
        this.isRefused ||= length < 0 && koffi.errno() === koffi.os.errno.ECONNREFUSED;
        return;
      }
      const packet = new DataView(this.#buffer.buffer, 0, length);
      // With IPv6 the kernel keeps the header of IP to itself.
      const at = this.#isV6 ? 0 : (packet.getUint8(0) & 15) * 4;
      if (length < at + 20) continue;
      const [from, to] = [packet.getUint16(at), packet.getUint16(at + 2)];
      const chunk = packet.getUint8(at + 12);
      if (chunk === INIT_ACK) this.#acknowledged.add(packet.getUint32(at + 4));
      if (chunk !== INIT || !this.#ports.has(to)) continue;
      const sender = fromBytes(this.#isV6 ? this.#from.slice(8, 24) : this.#from.slice(4, 8));
      const own = randomInt(1, 2 ** 32);
      this.begun.set(packet.getUint32(at + 16), sender);
      this.#send(sender, { from: to, to: from, tag: packet.getUint32(at + 16), chunk: INIT_ACK, own });
    }
  }

  close(): void {
    c.close(this.#fd);
  }

  #send(
    address: string,
    { from, to, tag, chunk, own }: { from: number; to: number; tag: number; chunk: number; own: number },
  ): void {
    // The common header, then the fixed part of INIT and INIT ACK, which are alike; an ACK has a state cookie.
    const cookie = chunk === INIT_ACK ? 8 : 0;
    const bytes = new Uint8Array(12 + 20 + cookie);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, from);
    view.setUint16(2, to);
    view.setUint32(4, tag);
    view.setUint8(12, chunk);
    view.setUint16(14, 20 + cookie);
    view.setUint32(16, own);
    view.setUint32(20, 65_536);
    view.setUint16(24, 1);
    view.setUint16(26, 1);
    view.setUint32(28, own);
    if (cookie) {
      view.setUint16(32, 7);
      view.setUint16(34, 8);
    }
    view.setUint32(8, crc32c(bytes), true);
    const destination = addressOf(address);
    c.sendto(this.#fd, bytes, bytes.length, 0, destination, destination.length);
  }
}

/** struct sockaddr_in or sockaddr_in6, without a port. */
function addressOf(address: string): Uint8Array {
  const bytes = toBytes(parseIp(address));
  return bytes.length === 4
    ? Uint8Array.from([AF_INET, 0, 0, 0, ...bytes, ...Array(8).fill(0)])
    : Uint8Array.from([AF_INET6, 0, 0, 0, 0, 0, 0, 0, ...bytes, 0, 0, 0, 0]);
}

/** The checksum of SCTP (RFC 9260, appendix A). */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
