import { closeSync } from 'node:fs';
import { familyOf, type Ip, toBytes } from '@enid/ip';
import type { NetNamespace } from './netns.ts';
import * as sys from './syscalls.ts';

const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_IP = 0;
const IP_TTL = 2;
const IPPROTO_IPV6 = 41;
const IPV6_UNICAST_HOPS = 16;
const IPV6_V6ONLY = 26;

/**
 * Opens a TCP socket in a namespace that listens, for `server.listen({ fd })`.
 * @param port 0 lets the kernel choose.
 * @param options `ttl`: TTL (hop limit) of what the connections send, 1 to 255; the system's default unless given.
 *   `backlog`: connections that may wait to be accepted, 511 unless given.
 * @returns the file descriptor, which the caller closes or gives away.
 * @throws {SyscallError} EADDRINUSE, EADDRNOTAVAIL when no link of the namespace has the address.
 */
export function listenTcp(
  ns: NetNamespace,
  address: Ip,
  port: number,
  options: { ttl?: number; backlog?: number } = {},
): number {
  return boundSocket(ns, sys.SOCK_STREAM, address, port, options.ttl, (fd, subject) => {
    sys.listen(fd, options.backlog ?? 511, subject);
  });
}

/**
 * Opens a UDP socket in a namespace, bound, for `socket.bind({ fd })` of `node:dgram`.
 * @returns the file descriptor, which the caller closes or gives away.
 * @throws {SyscallError} as {@link listenTcp}.
 */
export function bindUdp(ns: NetNamespace, address: Ip, port: number, options: { ttl?: number } = {}): number {
  return boundSocket(ns, sys.SOCK_DGRAM, address, port, options.ttl, () => {});
}

function boundSocket(
  ns: NetNamespace,
  type: number,
  address: Ip,
  port: number,
  ttl: number | undefined,
  finish: (fd: number, subject: string) => void,
): number {
  const subject = familyOf(address) === 4 ? `${address}:${port}` : `[${address}]:${port}`;
  const [domain, level, ttlOption] =
    familyOf(address) === 4
      ? [sys.AF_INET, IPPROTO_IP, IP_TTL]
      : [sys.AF_INET6, IPPROTO_IPV6, IPV6_UNICAST_HOPS];
  const fd = ns.run(() => sys.socket(domain, type | sys.SOCK_NONBLOCK, 0));
  try {
    if (type === sys.SOCK_STREAM) sys.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (domain === sys.AF_INET6) sys.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (ttl !== undefined) sys.setsockopt(fd, level, ttlOption, ttl);
    sys.bind(fd, sockaddr(domain, address, port), subject);
    finish(fd, subject);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** struct sockaddr_in or sockaddr_in6 */
function sockaddr(domain: number, address: Ip, port: number): Uint8Array {
  const bytes = new Uint8Array(domain === sys.AF_INET ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, domain, true);
  view.setUint16(2, port);
  bytes.set(toBytes(address), domain === sys.AF_INET ? 4 : 8);
  return bytes;
}
