/** Blocking system calls on sockets, for threads of their own: the kernel is measured, not the event loop. */
import koffi from 'koffi';

const libc = koffi.load(null);
export const c = {
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  bind: libc.func('int bind(int fd, const void *address, uint32_t length)'),
  listen: libc.func('int listen(int fd, int backlog)'),
  accept: libc.func('int accept(int fd, void *address, void *length)'),
  connect: libc.func('int connect(int fd, const void *address, uint32_t length)'),
  send: libc.func('long send(int fd, const void *bytes, ulong length, int flags)'),
  sendto: libc.func(
    'long sendto(int fd, const void *bytes, ulong length, int flags, const void *to, uint32_t size)',
  ),
  recv: libc.func('long recv(int fd, void *bytes, ulong length, int flags)'),
  ioctl: libc.func('int ioctl(int fd, ulong request, _Out_ int *result)'),
  setsockopt: libc.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)'),
  close: libc.func('int close(int fd)'),
  sched_setaffinity: libc.func('int sched_setaffinity(int pid, ulong size, const void *mask)'),
};
export const [AF_INET, SOCK_STREAM, SOCK_DGRAM, MSG_NOSIGNAL] = [2, 1, 2, 0x4000];

/** struct sockaddr_in. */
export function sockaddr(address: string, port: number): Uint8Array {
  const bytes = [AF_INET, 0, port >> 8, port & 255, ...address.split('.').map(Number), ...Array(8).fill(0)];
  return Uint8Array.from(bytes);
}

/** @throws {Error} with the errno, when a call says that it failed. */
export function must(what: string, result: number): number {
  if (result < 0) throw new Error(`${what}: error ${koffi.errno()}`);
  return result;
}
