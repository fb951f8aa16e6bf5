/**
 * Streams between several pairs of network namespaces by turns: each has one TCP connection, and one at a time sends for a moment.
 * What else the machine does meets all of them alike, which it does not when one is measured after the other.
 */
import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { NetNamespace } from '@enid/linux';
import { AF_INET, c, MSG_NOSIGNAL, must, SOCK_STREAM, sockaddr } from './sockets.ts';
import type { End } from './traffic.ts';

type Pair = { readonly client: End; readonly server: End };
type Task = {
  readonly role: 'client' | 'server';
  readonly pairs: readonly Pair[];
  readonly port: number;
  readonly turns: number;
};

/** How long one sends, in milliseconds. */
const TURN = 20;

/** @returns bytes a second of each pair, of each of its turns. */
export async function streams(
  pairs: readonly Pair[],
  port: number,
  turns: number,
): Promise<readonly (readonly number[])[]> {
  const start = (role: Task['role']) => {
    const task: Task = { role, pairs, port, turns };
    const worker = new Worker(new URL(import.meta.url), { workerData: task });
    const failed = once(worker, 'error').then(([error]) => Promise.reject(error));
    failed.catch(() => {});
    const said = () => Promise.race([once(worker, 'message').then(([message]) => message), failed]);
    return { said, ended: once(worker, 'exit') };
  };
  const server = start('server');
  await server.said();
  const [rates] = await Promise.all([start('client').said(), server.ended]);
  return rates as number[][];
}

const POLLIN = 1;
const BUFFER = new Uint8Array(256 * 1024);

/** A socket of each pair, made in its namespace. */
function sockets({ role, pairs }: Task, make: (pair: Pair, fd: number) => void): number[] {
  return pairs.map((pair) => {
    const ns = NetNamespace.named(pair[role].namespace);
    try {
      return ns.run(() => {
        const fd = must('socket', c.socket(AF_INET, SOCK_STREAM, 0));
        make(pair, fd);
        return fd;
      });
    } finally {
      ns.close();
    }
  });
}

function serve(task: Task): void {
  const listeners = sockets(task, ({ server }, fd) => {
    must('bind', c.bind(fd, sockaddr(server.address, task.port), 16));
    must('listen', c.listen(fd, 1));
  });
  parentPort!.postMessage(undefined);
  let open = listeners.map((fd) => must('accept', c.accept(fd, null, null)));
  const fds = new DataView(new ArrayBuffer(8 * open.length));
  while (open.length > 0) {
    for (const [i, fd] of open.entries()) {
      fds.setInt32(8 * i, fd, true);
      fds.setInt32(8 * i + 4, POLLIN, true);
    }
    must('poll', c.poll(new Uint8Array(fds.buffer), open.length, -1));
    open = open.filter((fd, i) => {
      if (fds.getUint16(8 * i + 6, true) === 0) return true;
      if (Number(c.recv(fd, BUFFER, BUFFER.length, 0)) > 0) return true;
      c.close(fd);
      return false;
    });
  }
  for (const fd of listeners) c.close(fd);
}

function send(task: Task): number[][] {
  const fds = sockets(task, ({ server }, fd) =>
    must(`connecting to ${server.address}`, c.connect(fd, sockaddr(server.address, task.port), 16)),
  );
  const rates: number[][] = fds.map(() => []);
  // The first turns warm up.
  for (let turn = -10; turn < task.turns; turn++) {
    for (const i of fds.keys()) {
      const at = (i + Math.max(turn, 0)) % fds.length;
      const began = performance.now();
      let sum = 0;
      while (performance.now() - began < TURN)
        sum += must('send', Number(c.send(fds[at]!, BUFFER, BUFFER.length, MSG_NOSIGNAL)));
      if (turn >= 0) rates[at]!.push((sum * 1000) / (performance.now() - began));
    }
  }
  for (const fd of fds) c.close(fd);
  return rates;
}

if (!isMainThread) {
  const task = workerData as Task;
  if (task.role === 'server') serve(task);
  else parentPort!.postMessage(send(task));
}
