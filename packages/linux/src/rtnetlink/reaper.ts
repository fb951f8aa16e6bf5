import { randomInt } from 'node:crypto';
import type { NetlinkError } from '../netlink/message.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../netlink/socket.ts';
import type { NetNamespace } from '../netns.ts';
import { deleteLink, deleteLinkGroup, setLink } from './link.ts';

type Doomed = { link: number | string; resolve: () => void; reject: (error: Error) => void };

/**
 * Deletes links in the background and many at once.
 *
 * Deleting a veth pair blocks its thread for tens of milliseconds, since the kernel waits for all CPUs to let go of
 * it (RCU). It waits only once for a whole group of links, though. So a link is put into a group of the reaper's
 * own, which is quick, and the group is deleted on a thread of libuv's pool; links that come meanwhile go
 * together in the next round.
 */
export class LinkReaper implements AsyncDisposable {
  readonly #group = randomInt(1, 2 ** 32 - 1);
  readonly #foreground: NetlinkSocket;
  readonly #background: NetlinkSocket;
  #doomed: Doomed[] = [];
  #running: Promise<void> | undefined;

  /** @param ns the links' namespace; the calling thread's own by default. It may be closed afterwards. */
  constructor(ns?: NetNamespace) {
    this.#foreground = NetlinkSocket.open(NETLINK_ROUTE, ns);
    this.#background = NetlinkSocket.open(NETLINK_ROUTE, ns);
  }

  /**
   * Deletes a link, of veth both ends. It is this link that goes, also if its name is given to another before.
   * @param link index or name.
   * @returns when the link is gone; at once when there is none.
   * @throws {NetlinkError} EOPNOTSUPP for a link that cannot be deleted, such as `lo`.
   */
  async delete(link: number | string): Promise<void> {
    const [error] = this.#foreground.batch([setLink(link, { group: this.#group })]);
    if (error?.code === 'ENODEV') return;
    if (error) throw error;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#doomed.push({ link, resolve, reject });
    this.#running ??= this.#run();
    await promise;
  }

  /** Finishes what was asked for, then lets go of the sockets. */
  async close(): Promise<void> {
    await this.#running;
    this.#foreground.close();
    this.#background.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #run(): Promise<void> {
    await Promise.resolve(); // Links that are marked in the same turn go together.
    while (this.#doomed.length > 0) {
      const round = this.#doomed;
      this.#doomed = [];
      try {
        const error = await this.#background.requestInBackground(deleteLinkGroup(this.#group));
        // ENODEV: they were marked while the round before was under way, and went with it.
        if (!error || error.code === 'ENODEV') for (const { resolve } of round) resolve();
        else await this.#deleteEach(round);
      } catch (error) {
        for (const { reject } of round) reject(error as Error);
      }
    }
    // In the same step in which none was left: one that comes a moment later begins anew.
    this.#running = undefined;
  }

  /** One link that cannot be deleted keeps its whole group: finds it and takes it out. */
  async #deleteEach(round: Doomed[]): Promise<void> {
    for (const { link, resolve, reject } of round) {
      const error: NetlinkError | null = await this.#background.requestInBackground(deleteLink(link));
      if (!error || error.code === 'ENODEV') {
        resolve();
      } else {
        this.#foreground.batch([setLink(link, { group: 0 })]);
        reject(error);
      }
    }
  }
}
