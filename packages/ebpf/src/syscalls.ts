/** bpf(2) and its companions, through libc: the only place of this package that calls foreign functions. */
import { closeSync } from 'node:fs';
import { arch, constants, release } from 'node:os';
import koffi from 'koffi';
import { BpfError } from './errors.ts';

const { EAGAIN, EINTR } = constants.errno;

const libc = koffi.load(null);
const c = {
  bpf: libc.func('long syscall(long number, int command, void *attr, ulong size)'),
  perf: libc.func('long syscall(long number, void *attr, int pid, int cpu, int group, ulong flags)'),
  ioctl: libc.func('int ioctl(int fd, ulong request, long argument)'),
  mmap: libc.func('intptr_t mmap(void *where, ulong length, int protection, int flags, int fd, long offset)'),
  munmap: libc.func('int munmap(intptr_t address, ulong length)'),
  setrlimit: libc.func('int setrlimit(int resource, const void *limit)'),
};

const numbers: Record<string, { bpf: number; perf: number }> = {
  x64: { bpf: 321, perf: 298 },
  arm64: { bpf: 280, perf: 241 },
};
const number = numbers[arch()];

/** enum bpf_cmd. */
export const commands = {
  BPF_MAP_CREATE: 0,
  BPF_MAP_LOOKUP_ELEM: 1,
  BPF_MAP_UPDATE_ELEM: 2,
  BPF_MAP_DELETE_ELEM: 3,
  BPF_MAP_GET_NEXT_KEY: 4,
  BPF_PROG_LOAD: 5,
  BPF_OBJ_PIN: 6,
  BPF_OBJ_GET: 7,
  BPF_PROG_TEST_RUN: 10,
  BPF_PROG_GET_NEXT_ID: 11,
  BPF_MAP_GET_NEXT_ID: 12,
  BPF_PROG_GET_FD_BY_ID: 13,
  BPF_MAP_GET_FD_BY_ID: 14,
  BPF_OBJ_GET_INFO_BY_FD: 15,
  BPF_PROG_QUERY: 16,
  BPF_BTF_LOAD: 18,
  BPF_BTF_GET_FD_BY_ID: 19,
  BPF_MAP_LOOKUP_AND_DELETE_ELEM: 21,
  BPF_MAP_FREEZE: 22,
  BPF_MAP_LOOKUP_BATCH: 24,
  BPF_MAP_LOOKUP_AND_DELETE_BATCH: 25,
  BPF_MAP_UPDATE_BATCH: 26,
  BPF_MAP_DELETE_BATCH: 27,
  BPF_LINK_CREATE: 28,
  BPF_LINK_UPDATE: 29,
  BPF_LINK_GET_FD_BY_ID: 30,
  BPF_LINK_GET_NEXT_ID: 31,
  BPF_ENABLE_STATS: 32,
  BPF_LINK_DETACH: 34,
} as const;
export type Command = keyof typeof commands;

/** Longer than any kernel's union bpf_attr so far needs; kernels accept what is longer when the rest is zero. */
const ATTR_LENGTH = 160;

/** The union bpf_attr of one call, filled by offset as in linux/bpf.h. It keeps alive what it points to. */
export class Attr {
  readonly bytes: Uint8Array = new Uint8Array(ATTR_LENGTH);
  readonly #view: DataView = new DataView(this.bytes.buffer);
  readonly #pointees: Uint8Array[] = [];

  u32(offset: number, value: number): this {
    this.#view.setUint32(offset, value, true);
    return this;
  }

  u64(offset: number, value: bigint): this {
    this.#view.setBigUint64(offset, value, true);
    return this;
  }

  /** A pointer to `bytes`, which have to stay where they are; null when undefined or empty. */
  pointer(offset: number, bytes: Uint8Array | undefined): this {
    if (bytes) this.#pointees.push(bytes);
    return this.u64(offset, bytes && bytes.length > 0 ? addressOf(bytes) : 0n);
  }

  /** A name of at most 15 bytes; what BPF names may not contain becomes `_`. */
  name(offset: number, name: string): this {
    this.bytes.set(Buffer.from(name.replace(/[^A-Za-z0-9_.]/g, '_').slice(0, 15)), offset);
    return this;
  }

  readU32(offset: number): number {
    return this.#view.getUint32(offset, true);
  }
}

/** Where bytes are in memory. They stay there as long as they live. */
export function addressOf(bytes: Uint8Array): bigint {
  return koffi.address(bytes);
}

/** Bytes with a NUL behind, as C takes text. */
export function cString(text: string): Uint8Array {
  return Uint8Array.from([...Buffer.from(text), 0]);
}

/** More signals than this during one call come by a clock that leaves it no time to end. */
const ATTEMPTS = 16;

/**
 * Makes a bpf(2) call, again when a signal (as of a child that ends) cut it short: the verifier says EAGAIN then,
 * runs and batches EINTR. Nothing of such a call is kept, but for the runs that a program has behind it.
 * @returns its result, or the negative error number.
 */
export function tryBpf(command: Command, attr: Attr): number {
  if (!number) throw new Error(`no BPF system call number is known for ${arch()}`);
  const interrupted = command === 'BPF_PROG_LOAD' ? EAGAIN : EINTR;
  for (let attempt = 1; ; attempt++) {
    const result = Number(c.bpf(number.bpf, commands[command], attr.bytes, ATTR_LENGTH));
    if (result >= 0) return result;
    const errno = koffi.errno();
    if (errno !== interrupted || attempt === ATTEMPTS) return -errno;
  }
}

/** Makes a bpf(2) call. @throws {BpfError} */
export function bpf(command: Command, attr: Attr, subject = '', hint?: string): number {
  const result = tryBpf(command, attr);
  if (result < 0) throw new BpfError(command, -result, subject, hint);
  return result;
}

/** perf_event_open(2) of an event of all processes, as probes are. */
export function perfEventOpen(attr: Uint8Array, subject: string, hint?: string): number {
  if (!number) throw new Error(`no system call number is known for ${arch()}`);
  const PERF_FLAG_FD_CLOEXEC = 8;
  const fd = Number(c.perf(number.perf, attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC));
  if (fd < 0) throw new BpfError('perf_event_open', koffi.errno(), subject, hint);
  return fd;
}

/** ioctl(2) with an integer argument. */
export function ioctl(fd: number, request: number, argument: number): void {
  if (c.ioctl(fd, request, argument) < 0) throw new BpfError('ioctl', koffi.errno());
}

/** Memory shared with the kernel. Whoever unmaps it must not touch `bytes` again. */
export class Mapping {
  readonly bytes: ArrayBuffer;
  readonly #address: number | bigint;

  constructor(fd: number, length: number, offset: number, writable: boolean) {
    const address = c.mmap(null, length, writable ? 3 : 1, 1 /* MAP_SHARED */, fd, offset);
    if (BigInt(address) === -1n) throw new BpfError('mmap', koffi.errno());
    this.#address = address;
    this.bytes = koffi.view(BigInt(address), length);
  }

  unmap(): void {
    c.munmap(this.#address, this.bytes.byteLength);
  }
}

/** Calls `onReadable` when there is something to read, from the event loop: neither a thread nor a timer waits. */
export function watch(fd: number, onReadable: () => void): { close(): void } {
  return koffi.node.poll(fd, { readable: true }, onReadable);
}

/** Major and minor number of the running kernel. */
export function kernelVersion(): [number, number] {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release()) ?? [];
  return [Number(major ?? 0), Number(minor ?? 0)];
}

/** Lifts RLIMIT_MEMLOCK, against which kernels before 5.11 count the memory of maps and programs. */
export function liftMemlockLimit(): void {
  const RLIMIT_MEMLOCK = 8;
  const unlimited = new BigUint64Array(2).fill(0xffff_ffff_ffff_ffffn);
  if (c.setrlimit(RLIMIT_MEMLOCK, unlimited) < 0) throw new BpfError('setrlimit', koffi.errno());
}

let prepared = false;

/** Done before the first map or program is made. */
export function prepareMemory(): void {
  if (prepared) return;
  prepared = true;
  const [major, minor] = kernelVersion();
  if (major < 5 || (major === 5 && minor < 11)) liftMemlockLimit();
}

/** A kernel object held by a file descriptor. */
export class Handle implements Disposable {
  readonly #fd: number;
  readonly #what: string;
  #closed = false;

  constructor(fd: number, what: string) {
    this.#fd = fd;
    this.#what = what;
  }

  /** The open file descriptor, closed on exec. @throws {Error} when it is closed. */
  get fd(): number {
    if (this.#closed) throw new Error(`the ${this.#what} is closed`);
    return this.#fd;
  }

  /** Gives the object a path on a BPF file system, where it outlives this process. */
  pin(path: string): void {
    const hint = 'the directory has to be on a BPF file system: mount -t bpf bpf /sys/fs/bpf';
    bpf('BPF_OBJ_PIN', new Attr().pointer(0, cString(path)).u32(8, this.fd), path, hint);
  }

  /** Lets go of it. The kernel ends what nobody else holds, has pinned, or uses. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Opens what is pinned at a path. */
export function openPinned(path: string): number {
  return bpf('BPF_OBJ_GET', new Attr().pointer(0, cString(path)), path);
}

/** BPF_OBJ_GET_INFO_BY_FD into `info`, which may hold pointers. @returns how many bytes the kernel wrote. */
export function objectInfo(fd: number, info: Uint8Array): number {
  const attr = new Attr().u32(0, fd).u32(4, info.length).pointer(8, info);
  bpf('BPF_OBJ_GET_INFO_BY_FD', attr);
  return attr.readU32(4);
}
