/**
 * The system calls that Node does not offer, through libc. The only place that calls foreign functions.
 *
 * Every function throws a {@link SyscallError}; none returns -1. What Node has already (open, close, read,
 * fstat on any file descriptor) is taken from `node:fs`.
 */
import { endianness } from 'node:os';
import koffi from 'koffi';
import { EINTR, EMSGSIZE, ENOBUFS, ENOSYS, SyscallError } from './errno.ts';

if (endianness() !== 'LE')
  throw new Error('@enid/linux encodes kernel structures for little-endian machines');

export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const CLONE_NEWNET = 0x40000000;
export const MS_BIND = 0x1000;
export const MS_REC = 0x4000;
export const MS_SHARED = 0x100000;
export const MNT_DETACH = 2;
export const LOCK_EX = 2;
export const O_ASYNC = 0o20000;
export const O_NONBLOCK = 0o4000;
export const F_SETFL = 4;
export const F_SETOWN = 8;
export const F_SETSIG = 10;
export const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MEMBARRIER_CMD_GLOBAL = 1;
const SYS_membarrier = { x64: 324, arm64: 283 }[process.arch as string];

const libc = koffi.load(null);
const c = {
  setns: libc.func('int setns(int fd, int nstype)'),
  unshare: libc.func('int unshare(int flags)'),
  mount: libc.func(
    'int mount(const char *src, const char *dst, const char *type, ulong flags, const void *data)',
  ),
  umount2: libc.func('int umount2(const char *target, int flags)'),
  flock: libc.func('int flock(int fd, int operation)'),
  fcntl: libc.func('int fcntl(int fd, int command, long argument)'),
  ioctl: libc.func('int ioctl(int fd, ulong request, long argument)'),
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  bind: libc.func('int bind(int fd, const void *address, uint length)'),
  listen: libc.func('int listen(int fd, int backlog)'),
  setsockopt: libc.func('int setsockopt(int fd, int level, int option, const void *value, uint length)'),
  getsockopt: libc.func(
    'int getsockopt(int fd, int level, int option, _Inout_ void *value, _Inout_ uint *length)',
  ),
  send: libc.func('long send(int fd, const void *bytes, ulong length, int flags)'),
  memfdCreate: libc.func('int memfd_create(const char *name, uint flags)'),
  recv: libc.func('long recv(int fd, void *bytes, ulong length, int flags)'),
  syscall: libc.func('long syscall(long number, int command, uint flags, int cpu)'),
};

/** The result of a call, or the error that it left in errno. Called straight on the result, before errno moves. */
function checked(result: number, syscall: string, subject?: string): number {
  if (result < 0) throw new SyscallError(syscall, koffi.errno(), subject);
  return result;
}

/** setns(2): moves the calling thread into the namespace behind `fd`. */
export function setns(fd: number, type: number): void {
  checked(c.setns(fd, type), 'setns');
}

/** unshare(2): gives the calling thread namespaces of its own. */
export function unshare(flags: number): void {
  checked(c.unshare(flags), 'unshare');
}

/** mount(2) */
export function mount(source: string, target: string, type: string, flags: number): void {
  checked(c.mount(source, target, type, flags, null), 'mount', target);
}

/** umount2(2) */
export function umount(target: string, flags: number): void {
  checked(c.umount2(target, flags), 'umount', target);
}

/** flock(2); blocks until the lock is there, which goes when `fd` is closed. */
export function flock(fd: number, operation: number): void {
  checked(c.flock(fd, operation), 'flock');
}

/** fcntl(2) with an integer argument. */
export function fcntl(fd: number, command: number, argument: number): number {
  return checked(c.fcntl(fd, command, argument), 'fcntl');
}

/** ioctl(2) with an integer argument. */
export function ioctl(fd: number, request: number, argument = 0): number {
  return checked(c.ioctl(fd, request, argument), 'ioctl');
}

/** memfd_create(2): a file in memory, closed on exec. @returns the file descriptor. */
export function memfd(name: string): number {
  return checked(c.memfdCreate(name, 1 /* MFD_CLOEXEC */), 'memfd_create');
}

/** socket(2), closed on exec. @returns the file descriptor. */
export function socket(domain: number, type: number, protocol: number): number {
  return checked(c.socket(domain, type | SOCK_CLOEXEC, protocol), 'socket');
}

/** bind(2). @param subject the address in words, for the error. */
export function bind(fd: number, sockaddr: Uint8Array, subject?: string): void {
  checked(c.bind(fd, sockaddr, sockaddr.length), 'bind', subject);
}

/** listen(2) */
export function listen(fd: number, backlog: number, subject?: string): void {
  checked(c.listen(fd, backlog), 'listen', subject);
}

/** setsockopt(2) with an int, or with the bytes of another structure. */
export function setsockopt(fd: number, level: number, option: number, value: number | Uint8Array): void {
  const bytes = typeof value === 'number' ? new Uint8Array(Int32Array.of(value).buffer) : value;
  checked(c.setsockopt(fd, level, option, bytes, bytes.length), 'setsockopt');
}

/** getsockopt(2) of a structure, which may also say what is asked for. */
export function getsockopt(fd: number, level: number, option: number, value: Uint8Array): void {
  checked(c.getsockopt(fd, level, option, value, [value.length]), 'getsockopt');
}

/** send(2) of one whole datagram. */
export function send(fd: number, bytes: Uint8Array): void {
  checked(c.send(fd, bytes, bytes.length, 0), 'send');
}

/** send(2) on a thread of libuv's pool, for a datagram that the kernel takes long over. */
export function sendInBackground(fd: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    c.send.async(fd, bytes, bytes.length, 0, (error: Error | null, result: number) => {
      if (error) reject(error);
      else if (result < 0) reject(new SyscallError('send', koffi.errno()));
      else resolve();
    });
  });
}

/**
 * recv(2) of one datagram into `buffer`.
 * @returns the datagram's bytes, a view on `buffer`.
 * @throws {SyscallError} EMSGSIZE when the datagram is larger than `buffer` (the rest is lost); EAGAIN when
 *   there is none, on a non-blocking socket or after its receive timeout.
 */
export function recv(fd: number, buffer: Uint8Array): Uint8Array {
  for (;;) {
    const length: number = c.recv(fd, buffer, buffer.length, MSG_TRUNC);
    if (length > buffer.length) throw new SyscallError('recv', EMSGSIZE, `of ${length} bytes`);
    if (length >= 0) return buffer.subarray(0, length);
    const errno = koffi.errno();
    if (errno !== EINTR) throw new SyscallError('recv', errno);
  }
}

/** Throws away the datagrams that wait at a socket. */
export function discard(fd: number): void {
  const bytes = new Uint8Array(1);
  for (;;) {
    if (c.recv(fd, bytes, bytes.length, MSG_DONTWAIT) >= 0) continue;
    const errno = koffi.errno();
    // ENOBUFS tells of answers that were lost, and not of those that are there.
    if (errno !== EINTR && errno !== ENOBUFS) return;
  }
}

/**
 * membarrier(2), MEMBARRIER_CMD_GLOBAL, on a thread of libuv's pool: resolves when every part of the kernel that reads what is
 * protected by RCU has done so anew, as the rules of netfilter for each packet: 5 to 30 ms.
 * @throws {SyscallError} EINVAL on a kernel with processors that are not interrupted (nohz_full), ENOSYS where it has been left out.
 */
export function membarrier(): Promise<void> {
  return new Promise((resolve, reject) => {
    if (SYS_membarrier === undefined) throw new SyscallError('membarrier', ENOSYS);
    c.syscall.async(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0, (error: Error | null, result: number) => {
      if (error) reject(error);
      else if (result < 0) reject(new SyscallError('membarrier', koffi.errno()));
      else resolve();
    });
  });
}
