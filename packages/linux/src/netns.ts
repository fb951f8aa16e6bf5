import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { asSyscallError, EINVAL, SyscallError } from './errno.ts';
import * as sys from './syscalls.ts';

/** Where named namespaces are mounted, shared with iproute2 (`ip netns`). */
const RUN_DIR = '/run/netns';
const OWN_NAMESPACE = '/proc/thread-self/ns/net';
/** ioctl_ns(2): the CLONE_NEW* constant of an nsfs file's type. */
const NS_GET_NSTYPE = 0xb703;

/**
 * A network namespace, held by an open file descriptor: it lives at least until {@link NetNamespace.close},
 * also when its name is deleted and no process is in it. See network_namespaces(7).
 *
 * A namespace belongs to a thread, so {@link NetNamespace.run} moves the calling thread alone. Worker threads
 * and libuv's pool (asynchronous `fs`, `dns.lookup`) stay where they are.
 */
export class NetNamespace implements Disposable {
  /** The inode on nsfs. Two handles with the same inode are the same namespace. */
  readonly inode: bigint;
  readonly #path: string;
  readonly #fd: number;
  #closed = false;

  private constructor(path: string) {
    this.#path = path;
    this.#fd = open(path);
    try {
      if (!isNetworkNamespace(this.#fd))
        throw new SyscallError('open', EINVAL, path, 'not a network namespace');
      this.inode = fstatSync(this.#fd, { bigint: true }).ino;
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
  }

  /** The open file descriptor, closed on exec. @throws {Error} when it is closed. */
  get fd(): number {
    if (this.#closed) throw new Error(`the network namespace ${this.#path} is closed`);
    return this.#fd;
  }

  /** The namespace that the calling thread is in. */
  static current(): NetNamespace {
    return new NetNamespace(OWN_NAMESPACE);
  }

  /**
   * Opens any nsfs file: `/run/netns/blue`, `/proc/1234/ns/net`.
   * @throws {SyscallError} ENOENT when there is none, EINVAL when it is no network namespace.
   */
  static open(path: string): NetNamespace {
    return new NetNamespace(path);
  }

  /**
   * Opens `/run/netns/<name>`.
   * @throws {SyscallError} ENOENT when there is none of that name.
   */
  static named(name: string): NetNamespace {
    return new NetNamespace(pathOf(name));
  }

  /**
   * Makes a namespace and its name, as `ip netns add` does: its only link is `lo`, which is down.
   * @param name a file name. Nothing is left behind when a step fails.
   * @throws {SyscallError} EEXIST when the name is taken, EPERM without CAP_SYS_ADMIN.
   */
  static create(name: string): NetNamespace {
    const path = pathOf(name);
    shareRunDir();
    closeSync(open(path, constants.O_CREAT | constants.O_EXCL));
    try {
      using home = NetNamespace.current();
      home.#andBack(() => {
        sys.unshare(sys.CLONE_NEWNET);
        sys.mount(OWN_NAMESPACE, path, 'none', sys.MS_BIND);
      });
      return new NetNamespace(path);
    } catch (error) {
      NetNamespace.delete(name);
      throw error;
    }
  }

  /**
   * Takes the name away; fine when it is gone already. The namespace itself ends with its last process, open
   * file descriptor or socket, and takes its links with it.
   */
  static delete(name: string): void {
    const path = pathOf(name);
    // EINVAL: a file that nothing is mounted on, left by a creation that was cut short.
    ignoring(['ENOENT', 'EINVAL'], () => sys.umount(path, sys.MNT_DETACH));
    ignoring(['ENOENT'], () => unlinkSync(path));
  }

  /** The names under /run/netns, sorted. */
  static list(): string[] {
    return ignoring(['ENOENT'], () => readdirSync(RUN_DIR).sort()) ?? [];
  }

  /**
   * Runs `fn` with the calling thread inside this namespace and returns its result. Sockets opened and
   * processes spawned by `fn` belong to the namespace and stay there. Calls may be nested.
   *
   * The thread is back where it was when this returns or throws. Should the way back fail, the process is
   * aborted: going on in a wrong namespace would be worse.
   * @param fn synchronous code. What it starts and does not finish runs outside again.
   * @throws {TypeError} when `fn` returns a promise.
   */
  run<T>(fn: () => T): T {
    using home = NetNamespace.current();
    const result = home.#andBack(() => {
      sys.setns(this.fd, sys.CLONE_NEWNET);
      return fn();
    });
    if (typeof (result as { then?: unknown } | null | undefined)?.then === 'function') {
      throw new TypeError('NetNamespace.run takes synchronous code, but its function returned a promise');
    }
    return result;
  }

  /** Runs `fn`, which leaves this namespace, and returns to it. */
  #andBack<T>(fn: () => T): T {
    try {
      return fn();
    } finally {
      try {
        sys.setns(this.fd, sys.CLONE_NEWNET);
      } catch (error) {
        writeSync(2, `cannot return to the network namespace this thread came from, aborting: ${error}\n`);
        process.abort();
      }
    }
  }

  /** Lets go of the namespace. Sockets opened inside stay usable. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function pathOf(name: string): string {
  if (!/^[^/\0]{1,255}$/.test(name) || name === '.' || name === '..') {
    throw new TypeError(`"${name}" cannot name a network namespace: it has to be a file name`);
  }
  return `${RUN_DIR}/${name}`;
}

function open(path: string, flags = 0): number {
  try {
    return openSync(path, constants.O_RDONLY | flags, 0);
  } catch (error) {
    throw asSyscallError(error, 'open', path);
  }
}

function isNetworkNamespace(fd: number): boolean {
  return ignoring(['ENOTTY'], () => sys.ioctl(fd, NS_GET_NSTYPE)) === sys.CLONE_NEWNET;
}

/** Runs `fn`; undefined when it fails with one of `codes`. */
function ignoring<T>(codes: string[], fn: () => T): T | undefined {
  try {
    return fn();
  } catch (error) {
    if (!codes.includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return undefined;
  }
}

/**
 * Makes /run/netns a shared mount, so that names appear in and vanish from other mount namespaces too: a name
 * that a private copy of the mount keeps could not be deleted. Same steps and same lock as iproute2.
 */
function shareRunDir(): void {
  mkdirSync(RUN_DIR, { recursive: true, mode: 0o755 });
  const lock = open(RUN_DIR, constants.O_DIRECTORY);
  try {
    sys.flock(lock, sys.LOCK_EX);
    const share = () => {
      sys.mount('', RUN_DIR, 'none', sys.MS_SHARED | sys.MS_REC);
      return true;
    };
    // EINVAL: the directory is no mount point yet.
    if (ignoring(['EINVAL'], share)) return;
    sys.mount(RUN_DIR, RUN_DIR, 'none', sys.MS_BIND | sys.MS_REC);
    share();
  } finally {
    closeSync(lock);
  }
}
