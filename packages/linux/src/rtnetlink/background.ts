import type { NetlinkError, Request } from '../netlink/message.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../netlink/socket.ts';
import type { NetNamespace } from '../netns.ts';

/** Requests that go to the kernel together. More would make the first wait for the last. */
const ROUND = 4;

type Waiting = {
  request: Request;
  resolve: (answer: NetlinkError | null) => void;
  reject: (error: Error) => void;
};

/**
 * Runs requests on a thread of libuv's pool, for what the kernel takes long over, such as making a veth pair (half
 * a millisecond): the event loop goes on meanwhile. In the order they came; those that come while the kernel works
 * go together in the next round.
 */
export class BackgroundRtnetlink implements AsyncDisposable {
  readonly #socket: NetlinkSocket;
  readonly #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;

  /** @param ns the namespace worked on; the calling thread's own by default. It may be closed afterwards. */
  constructor(ns?: NetNamespace) {
    this.#socket = NetlinkSocket.open(NETLINK_ROUTE, ns);
  }

  /**
   * Runs one request. What it refers to, such as a namespace, has to stay open until it is answered.
   * @returns null, or why the kernel refused it.
   * @throws {SyscallError} when the socket fails; whether the request was done is then unknown.
   */
  run(request: Request): Promise<NetlinkError | null> {
    const { promise, resolve, reject } = Promise.withResolvers<NetlinkError | null>();
    this.#waiting.push({ request, resolve, reject });
    this.#running ??= this.#rounds().finally(() => {
      this.#running = undefined;
    });
    return promise;
  }

  /** Finishes what was asked for, then lets go of the socket. */
  async close(): Promise<void> {
    await this.#running;
    this.#socket.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #rounds(): Promise<void> {
    while (this.#waiting.length > 0) {
      const round = this.#waiting.splice(0, ROUND);
      try {
        const answers = await this.#socket.batchInBackground(round.map(({ request }) => request));
        round.forEach(({ resolve }, at) => {
          resolve(answers[at] ?? null);
        });
      } catch (error) {
        for (const { reject } of round) reject(error as Error);
      }
    }
  }
}
