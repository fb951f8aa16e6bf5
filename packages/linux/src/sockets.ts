import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
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
 * @param options `ttl`: TTL (hop limit) of what its connections send, 1 to 255; the system's default unless given.
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
  return openSocket(ns, sys.SOCK_STREAM, address, options.ttl, (fd) => {
    sys.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    bind(fd, address, port);
    sys.listen(fd, options.backlog ?? 511, endpoint(address, port));
  });
}

/**
 * Starts a TCP connection out of a namespace.
 * @param options `localAddress`: the address to come from; the kernel's choice unless given. `ttl` as for
 *   {@link listenTcp}.
 * @returns the socket, connecting: it emits `connect` or `error` as that of `net.connect` does.
 * @throws {SyscallError} EADDRNOTAVAIL when no link of the namespace has the local address.
 */
export function connectTcp(
  ns: NetNamespace,
  address: Ip,
  port: number,
  options: { localAddress?: Ip; ttl?: number } = {},
): Socket {
  const { localAddress, ttl } = options;
  const fd = openSocket(ns, sys.SOCK_STREAM, address, ttl, (fd) => {
    if (localAddress) bind(fd, localAddress, 0);
  });
  return new Socket({ fd }).connect(port, address);
}

/**
 * Sets the TTL (hop limit) of what a connection sends from now on, whatever that of its listener is.
 * @param ttl 1 to 255. A connection that is closed already is left alone.
 */
export function setTtl(socket: Socket, ttl: number): void {
  // Node tells a socket's descriptor nowhere else.
  const fd = (socket as unknown as { _handle?: { fd: number } | null })._handle?.fd;
  if (fd === undefined || fd < 0) return;
  if (socket.localFamily === 'IPv4') sys.setsockopt(fd, IPPROTO_IP, IP_TTL, ttl);
  else sys.setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, ttl);
}

/**
 * Opens a UDP socket in a namespace, bound, for `socket.bind({ fd })` of `node:dgram`.
 * @param options `ttl` as for {@link listenTcp}.
 * @returns the file descriptor, which the caller closes or gives away.
 * @throws {SyscallError} as {@link listenTcp}.
 */
export function bindUdp(ns: NetNamespace, address: Ip, port: number, options: { ttl?: number } = {}): number {
  return openSocket(ns, sys.SOCK_DGRAM, address, options.ttl, (fd) => bind(fd, address, port));
}

/** A socket of the address's family, prepared by `prepare`; closed when that fails. */
function openSocket(
  ns: NetNamespace,
  type: number,
  address: Ip,
  ttl: number | undefined,
  prepare: (fd: number) => void,
): number {
  const v4 = familyOf(address) === 4;
  const fd = ns.run(() => sys.socket(v4 ? sys.AF_INET : sys.AF_INET6, type | sys.SOCK_NONBLOCK, 0));
  try {
    if (!v4) sys.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (ttl !== undefined) {
      sys.setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_UNICAST_HOPS, ttl);
    }
    prepare(fd);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** bind(2) to a struct sockaddr_in or sockaddr_in6. */
function bind(fd: number, address: Ip, port: number): void {
  const v4 = familyOf(address) === 4;
  const bytes = new Uint8Array(v4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, v4 ? sys.AF_INET : sys.AF_INET6, true);
  view.setUint16(2, port);
  bytes.set(toBytes(address), v4 ? 4 : 8);
  sys.bind(fd, bytes, endpoint(address, port));
}

function endpoint(address: Ip, port: number): string {
  return familyOf(address) === 4 ? `${address}:${port}` : `[${address}]:${port}`;
}
