import type { NetlinkError, Request } from '../netlink/message.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../netlink/socket.ts';
import type { NetNamespace } from '../netns.ts';
import { decodeLink, type Link } from './link.ts';
import type { Rtnetlink } from './rtnetlink.ts';

/** Batches that go to the kernel together. More would make the first wait for the last. */
const ROUND = 4;

/** What came of a request. */
export type Answer = {
  /** Why the kernel refused it; null when it did not. */
  readonly error: NetlinkError | null;
  /** The link that was asked for by `getLink`, or made by `addLink` (which Linux tells since 6.2). */
  readonly link?: Link;
};

type Waiting = {
  readonly socket: NetlinkSocket;
  readonly requests: readonly Request[];
  readonly resolve: (answers: Answer[]) => void;
  readonly reject: (error: Error) => void;
};

/**
 * Runs requests on a thread of libuv's pool, for what the kernel takes long over, such as making a veth pair (half
 * a millisecond): the event loop goes on meanwhile. In the order they came, also those of different sockets: the
 * kernel does one change of links at a time in any case. Those that come while it works go together in the next round.
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
   * Runs requests in order, each for itself as `Rtnetlink.batch` does. What they refer to, such as a namespace, has
   * to stay open until they are answered.
   * @param rtnetlink whose socket is used, and by nobody else meanwhile: another namespace's. This one's own by default.
   * @returns what came of each request, at its index.
   * @throws {SyscallError} when the socket fails; which requests were done is then unknown.
   */
  run(requests: readonly Request[], rtnetlink?: Rtnetlink): Promise<Answer[]> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer[]>();
    this.#waiting.push({ socket: rtnetlink?.socket ?? this.#socket, requests, resolve, reject });
    this.#running ??= this.#rounds();
    return promise;
  }

  /**
   * As {@link BackgroundRtnetlink.run}, but on the calling thread when nothing waits: waking another takes longer than
   * a quick request.
   */
  async runQuick(requests: readonly Request[], rtnetlink?: Rtnetlink): Promise<Answer[]> {
    if (this.#running) return await this.run(requests, rtnetlink);
    const links = new Links();
    return links.answers((rtnetlink?.socket ?? this.#socket).batch(requests, links.take));
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
    await Promise.resolve(); // What is asked for in the same turn goes together.
    while (this.#waiting.length > 0) {
      const { socket } = this.#waiting[0]!;
      const other = this.#waiting.findIndex((batch) => batch.socket !== socket);
      const round = this.#waiting.splice(0, Math.min(ROUND, other < 0 ? ROUND : other));
      try {
        const links = new Links();
        const requests = round.flatMap((batch) => batch.requests);
        const answers = links.answers(await socket.batchInBackground(requests, links.take));
        for (const { requests, resolve } of round) resolve(answers.splice(0, requests.length));
      } catch (error) {
        for (const { reject } of round) reject(error as Error);
      }
    }
    // In the same step in which nothing waited: who was just answered and asks again begins anew.
    this.#running = undefined;
  }
}

/** The links that a batch brings, by the index of the request. */
class Links {
  readonly #links: Link[] = [];

  readonly take = (at: number, payload: Uint8Array): void => {
    const link = decodeLink(payload);
    if (link) this.#links[at] = link;
  };

  answers(errors: readonly (NetlinkError | null)[]): Answer[] {
    return errors.map((error, at) => ({ error, ...(this.#links[at] && { link: this.#links[at] }) }));
  }
}
