/**
 * Traffic between network namespaces by blocking system calls on threads of their own, so that the kernel is measured and not the
 * event loop.
 */
import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { NetNamespace } from '@enid/linux';
import { AF_INET, c, MSG_NOSIGNAL, must, SOCK_DGRAM, SOCK_STREAM, sockaddr } from './sockets.ts';

/** A namespace by its name, and an address in it. */
export type End = { readonly namespace: string; readonly address: string };

/** One measurement: transactions, or packets a second. */
export type Kind = 'rr' | 'crr' | 'packets';

type Role = 'client' | 'server';
type Task = {
  readonly kind: Kind;
  readonly role: Role;
  readonly ends: { readonly client: End; readonly server: End };
  readonly port: number;
  readonly milliseconds: number;
};

/**
 * Asks and answers one byte on one connection (`rr`) or on a new one each time (`crr`, transactions/s), or sends datagrams, each of which begins a flow (`packets`, a second; nobody need answer).
 * @param port of the server; for `packets` that of the client.
 */
export async function measure(
  kind: Kind,
  client: End,
  server: End,
  port: number,
  milliseconds: number,
): Promise<number> {
  const start = (role: Role) => {
    const task: Task = { kind, role, ends: { client, server }, port, milliseconds };
    const worker = new Worker(new URL(import.meta.url), { workerData: task });
    const failed = once(worker, 'error').then(([error]) => Promise.reject(error));
    const said = () => Promise.race([once(worker, 'message').then(([message]) => message as number), failed]);
    failed.catch(() => {});
    return { said, ended: once(worker, 'exit') };
  };
  if (kind === 'packets') return start('client').said();
  const listening = start('server');
  await listening.said();
  const [rate] = await Promise.all([start('client').said(), listening.ended]);
  return rate;
}

const [SOL_SOCKET, SO_REUSEADDR, SO_LINGER] = [1, 2, 13];
const [IPPROTO_TCP, TCP_NODELAY] = [6, 1];
const ON = Uint8Array.from([1, 0, 0, 0]);
/** Closes by a reset, so that ports are free again at once. */
const NO_LINGER = Uint8Array.from([1, 0, 0, 0, 0, 0, 0, 0]);
const DATAGRAM = new Uint8Array(64);

if (!isMainThread) {
  const task = workerData as Task;
  const { namespace } = task.ends[task.role];
  const ns = NetNamespace.named(namespace);
  // Each on a processor of its own, where there are two: where the scheduler puts them matters more than all that is measured.
  c.sched_setaffinity(0, 8, Uint8Array.from([task.role === 'server' ? 1 : 2, 0, 0, 0, 0, 0, 0, 0]));
  try {
    ns.run(() => (task.role === 'server' ? serve(task) : ask(task)));
  } finally {
    ns.close();
  }
}

function serve({ kind, ends, port }: Task): void {
  const listener = must('socket', c.socket(AF_INET, SOCK_STREAM, 0));
  c.setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, ON, 4);
  must('bind', c.bind(listener, sockaddr(ends.server.address, port), 16));
  must('listen', c.listen(listener, 128));
  parentPort!.postMessage(0);
  const buffer = new Uint8Array(1);
  // Of crr, the last connection has nothing to ask.
  for (let asked = true; asked; asked = kind === 'crr' && asked) {
    const fd = must('accept', c.accept(listener, null, null));
    c.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, ON, 4);
    asked = false;
    while (Number(c.recv(fd, buffer, buffer.length, 0)) > 0) {
      asked = true;
      c.send(fd, buffer, 1, MSG_NOSIGNAL);
    }
    c.close(fd);
  }
  c.close(listener);
}

function ask(task: Task): void {
  const { kind, milliseconds } = task;
  const began = performance.now();
  const inTime = () => performance.now() - began < milliseconds;
  const sum =
    kind === 'packets' ? flood(task, inTime) : kind === 'crr' ? reconnect(task, inTime) : talk(task, inTime);
  parentPort!.postMessage((sum * 1000) / (performance.now() - began));
}

function open({ ends, port }: Task): number {
  const fd = must('socket', c.socket(AF_INET, SOCK_STREAM, 0));
  must(`connecting to ${ends.server.address}`, c.connect(fd, sockaddr(ends.server.address, port), 16));
  c.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, ON, 4);
  return fd;
}

function talk(task: Task, inTime: () => boolean): number {
  const fd = open(task);
  const buffer = new Uint8Array(1);
  let sum = 0;
  for (; inTime(); sum++) {
    must('send', Number(c.send(fd, buffer, 1, MSG_NOSIGNAL)));
    must('recv', Number(c.recv(fd, buffer, 1, 0)));
  }
  c.close(fd);
  return sum;
}

function reconnect(task: Task, inTime: () => boolean): number {
  const buffer = new Uint8Array(1);
  let sum = 0;
  while (inTime()) {
    const fd = open(task);
    c.send(fd, buffer, 1, MSG_NOSIGNAL);
    must('recv', Number(c.recv(fd, buffer, 1, 0)));
    c.setsockopt(fd, SOL_SOCKET, SO_LINGER, NO_LINGER, 8);
    c.close(fd);
    sum += 1;
  }
  c.close(open(task));
  return sum;
}

function flood({ ends, port }: Task, inTime: () => boolean): number {
  const fd = must('socket', c.socket(AF_INET, SOCK_DGRAM, 0));
  must('bind', c.bind(fd, sockaddr(ends.client.address, port), 16));
  const to = sockaddr(ends.server.address, 1);
  let sum = 0;
  while (inTime()) {
    for (let burst = 0; burst < 64; burst++, sum++) {
      const next = 1 + (sum % 65_535);
      to[2] = next >> 8;
      to[3] = next & 255;
      c.sendto(fd, DATAGRAM, DATAGRAM.length, 0, to, 16);
    }
  }
  c.close(fd);
  return sum;
}
