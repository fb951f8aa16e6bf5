import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

export const { EAGAIN, EINTR, EINVAL, EMSGSIZE, ENOBUFS, ENOSYS } = constants.errno;

/** Error numbers that the kernel's netlink code answers but libc, and so Node, has no name for. */
const kernelOnly: [string, number][] = [['ENOTSUPP', 524]];

// Two names may share a number (EAGAIN and EWOULDBLOCK); the one that errno(3) lists first wins.
const names = new Map<number, string>(
  [...Object.entries(constants.errno), ...kernelOnly]
    .filter(([name]) => !['EWOULDBLOCK', 'ENOTSUP', 'EDEADLOCK'].includes(name))
    .map(([name, number]) => [number, name]),
);

/** The name of an error number: `EEXIST` for 17, `E999` for one without a name. See errno(3). */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `E${errno}`;
}

/** What a system call refused. */
export class SyscallError extends Error {
  override readonly name: string = 'SyscallError';
  /** The call, such as `setns`. */
  readonly syscall: string;
  /** The error number, positive. */
  readonly errno: number;
  /** The error number's name, such as `EEXIST`. */
  readonly code: string;

  /**
   * @param subject what the call was about (a path, an address); part of the message.
   * @param detail  words for the message that say more than the error number does, if there are any.
   */
  constructor(syscall: string, errno: number, subject = '', detail = '') {
    const code = errnoName(errno);
    super(`${syscall}${subject && ` ${subject}`}: ${detail || describe(code, errno)} (${code})`);
    this.syscall = syscall;
    this.errno = errno;
    this.code = code;
  }
}

/** The error of one of Node's own calls as a {@link SyscallError}; as it is when no system call refused it. */
export function asSyscallError(error: unknown, syscall: string, subject: string): unknown {
  const { errno } = error as NodeJS.ErrnoException;
  return errno === undefined ? error : new SyscallError(syscall, -errno, subject);
}

/** Words for the error; libuv's unless they are about files, or there are none. */
function describe(code: string, errno: number): string {
  return words[code] ?? getSystemErrorMap().get(-errno)?.[1] ?? 'failed';
}

const words: Record<string, string> = {
  EAGAIN: 'no answer in time',
  EEXIST: 'exists already',
  ENOENT: 'does not exist',
  ENOTSUPP: 'operation not supported',
  ENOTUNIQ: 'name not unique',
  EPERM: 'operation not permitted (it takes root, or CAP_NET_ADMIN and CAP_SYS_ADMIN)',
  ERANGE: 'out of range',
  ESRCH: 'no such entry',
};
