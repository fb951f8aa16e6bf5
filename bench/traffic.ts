/**
 * Traffic between network namespaces by blocking system calls on threads of their own, so that the kernel is measured and not the
 * event loop. It flows by turns, between which what lies in its way can be changed: what else the machine does, and where in
 * memory things are, meets all that is compared alike.
 */
import { once } from 'node:events';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { NetNamespace } from '@enid/linux';
import { AF_INET, c, MSG_NOSIGNAL, must, SOCK_DGRAM, SOCK_STREAM, sockaddr } from './sockets.ts';

/** A namespace by its name, and an address in it. */
export type End = { readonly namespace: string; readonly address: string };

/**
 * What is counted: bytes of one connection (`stream`), questions of one byte and their answers on one connection (`rr`) or on a new one each time
 * (`crr`), or datagrams, each of which begins a flow, whether or not anybody answers (`packets`).
 */
export type Kind = 'stream' | 'rr' | 'crr' | 'packets';

type Role = 'client' | 'server';
type Task = {
  readonly kind: Kind;
  readonly role: Role;
  readonly ends: { readonly client: End; readonly server: End };
  readonly port: number;
};

export class Traffic implements AsyncDisposable {
  readonly #client: Worker;
  readonly #ended: Promise<unknown>;
  readonly #failed: Promise<never>;

  private constructor(client: Worker, others: readonly Worker[]) {
    const all = [client, ...others];
    this.#client = client;
    this.#ended = Promise.all(all.map((worker) => once(worker, 'exit')));
    this.#failed = Promise.race(all.map(failureOf));
    this.#failed.catch(() => {});
  }

  /** @param port of the server; for `packets` that of the client in the first turn, and the next in each of the next. */
  static async between(client: End, server: End, kind: Kind, port: number): Promise<Traffic> {
    const start = async (role: Role) => {
      const task: Task = { kind, role, ends: { client, server }, port };
      const worker = new Worker(new URL(import.meta.url), { workerData: task });
      await Promise.race([once(worker, 'message'), failureOf(worker)]);
      return worker;
    };
    const servers = kind === 'packets' ? [] : [await start('server')];
    return new Traffic(await start('client'), servers);
  }

  /** Lets it flow for a while. @returns what is counted, a second. */
  async turn(milliseconds: number): Promise<number> {
    this.#client.postMessage(milliseconds);
    const [rate] = await Promise.race([once(this.#client, 'message'), this.#failed]);
    return rate as number;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.postMessage(undefined);
    await Promise.race([this.#ended, this.#failed]);
  }
}

const failureOf = (worker: Worker): Promise<never> =>
  new Promise((_, reject) => {
    worker.once('error', reject);
  });

const [SOL_SOCKET, SO_REUSEADDR, SO_LINGER] = [1, 2, 13];
const [IPPROTO_TCP, TCP_NODELAY] = [6, 1];
/** How many bytes of a connection its other end has not acknowledged. */
const SIOCOUTQ = 0x5411n;
const ON = Uint8Array.from([1, 0, 0, 0]);
/** Closes by a reset, so that ports are free again at once. */
const NO_LINGER = Uint8Array.from([1, 0, 0, 0, 0, 0, 0, 0]);
const BYTE = new Uint8Array(1);
const DATAGRAM = new Uint8Array(64);
const BULK = new Uint8Array(256 * 1024);

if (!isMainThread) {
  const task = workerData as Task;
  const ns = NetNamespace.named(task.ends[task.role].namespace);
  // Each on a processor of its own, where there are two: where the scheduler puts them matters more than all that is measured.
  c.sched_setaffinity(0, 8, Uint8Array.from([task.role === 'server' ? 1 : 2, 0, 0, 0, 0, 0, 0, 0]));
  if (task.role === 'server') ns.run(() => serve(task));
  else ask(task, ns);
}

function serve({ kind, ends, port }: Task): void {
  const listener = must('socket', c.socket(AF_INET, SOCK_STREAM, 0));
  c.setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, ON, 4);
  must('bind', c.bind(listener, sockaddr(ends.server.address, port), 16));
  must('listen', c.listen(listener, 128));
  parentPort!.postMessage('listening');
  const buffer = kind === 'stream' ? BULK : BYTE;
  // Of crr, the last connection has nothing to ask.
  for (let asked = true; asked; asked = kind === 'crr' && asked) {
    const fd = must('accept', c.accept(listener, null, null));
    c.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, ON, 4);
    asked = false;
    while (Number(c.recv(fd, buffer, buffer.length, 0)) > 0) {
      asked = true;
      if (kind !== 'stream') c.send(fd, BYTE, 1, MSG_NOSIGNAL);
    }
    c.close(fd);
  }
  c.close(listener);
}

type Client = {
  /** Lets it flow for so many milliseconds. @returns what is counted, a second. */
  readonly turn: (milliseconds: number) => number;
  readonly close: () => void;
};

/** A turn that does the same all the time. @param once returns what counts. @param end waits for what is left. */
function steadily(once: () => number, end: () => void = () => {}): Client['turn'] {
  return (milliseconds) => {
    const began = performance.now();
    let sum = 0;
    while (performance.now() - began < milliseconds) sum += once();
    end();
    return (sum * 1000) / (performance.now() - began);
  };
}

function ask(task: Task, ns: NetNamespace): void {
  const client = ns.run(() => ({ stream, rr: talk, crr: reconnect, packets: flood })[task.kind](task));
  parentPort!.on('message', (milliseconds: number | undefined) =>
    ns.run(() => {
      if (milliseconds === undefined) {
        client.close();
        return parentPort!.close();
      }
      parentPort!.postMessage(client.turn(milliseconds));
    }),
  );
  parentPort!.postMessage('ready');
}

function open({ ends, port }: Task): number {
  const fd = must('socket', c.socket(AF_INET, SOCK_STREAM, 0));
  must(`connecting to ${ends.server.address}`, c.connect(fd, sockaddr(ends.server.address, port), 16));
  c.setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, ON, 4);
  return fd;
}

function stream(task: Task): Client {
  const fd = open(task);
  const left: [number] = [0];
  return {
    turn: steadily(
      () => must('send', Number(c.send(fd, BULK, BULK.length, MSG_NOSIGNAL))),
      // What lies in buffers has not arrived.
      () => {
        do must('ioctl', c.ioctl(fd, SIOCOUTQ, left));
        while (left[0] > 0);
      },
    ),
    close: () => c.close(fd),
  };
}

function talk(task: Task): Client {
  const fd = open(task);
  return {
    // By the middle one of their times: those of processors that were asleep, or taken away, tell of the machine.
    turn: (milliseconds) => {
      const times: number[] = [];
      const began = performance.now();
      for (let asked = began; asked - began < milliseconds; ) {
        must('send', Number(c.send(fd, BYTE, 1, MSG_NOSIGNAL)));
        must('recv', Number(c.recv(fd, BYTE, 1, 0)));
        const answered = performance.now();
        times.push(answered - asked);
        asked = answered;
      }
      return 1000 / times.sort((a, b) => a - b)[times.length >> 1]!;
    },
    close: () => c.close(fd),
  };
}

function reconnect(task: Task): Client {
  return {
    turn: steadily(() => {
      const fd = open(task);
      c.send(fd, BYTE, 1, MSG_NOSIGNAL);
      must('recv', Number(c.recv(fd, BYTE, 1, 0)));
      c.setsockopt(fd, SOL_SOCKET, SO_LINGER, NO_LINGER, 8);
      c.close(fd);
      return 1;
    }),
    close: () => c.close(open(task)),
  };
}

function flood({ ends, port }: Task): Client {
  const to = sockaddr(ends.server.address, 1);
  let from = port;
  return {
    turn: (milliseconds) => {
      const fd = must('socket', c.socket(AF_INET, SOCK_DGRAM, 0));
      must('bind', c.bind(fd, sockaddr(ends.client.address, from++), 16));
      let last = 0;
      const rate = steadily(() => {
        for (let burst = 0; burst < 8; burst++) {
          last = (last % 65_535) + 1;
          to[2] = last >> 8;
          to[3] = last & 255;
          c.sendto(fd, DATAGRAM, DATAGRAM.length, 0, to, 16);
        }
        return 8;
      })(milliseconds);
      c.close(fd);
      return rate;
    },
    close: () => {},
  };
}
