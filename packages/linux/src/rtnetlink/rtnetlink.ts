import { NetlinkError, type Request } from '../netlink/message.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../netlink/socket.ts';
import type { NetNamespace } from '../netns.ts';
import { type Address, decodeAddress, dumpAddresses } from './address.ts';
import { type BpfFilter, decodeBpfFilter, dumpBpfFilters } from './bpf-filter.ts';
import { decodeLink, dumpLinks, getLink, type Link } from './link.ts';
import { decodeNeighbour, dumpNeighbours, type Neighbour } from './neighbour.ts';
import { decodeQdisc, dumpQdiscs, type Qdisc } from './qdisc.ts';
import { decodeRoute, dumpRoutes, type Route } from './route.ts';
import { decodeRule, dumpRules, type Rule } from './rule.ts';

/**
 * The links, addresses, routes, rules and neighbours of one network namespace; rtnetlink(7).
 *
 * All methods are synchronous: the kernel answers within the request. They throw {@link NetlinkError} when the
 * kernel refuses, and {@link SyscallError} when the socket fails. Filters are applied by the kernel, which has to
 * be 4.20 or later.
 */
export class Rtnetlink implements Disposable {
  readonly #socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  /** Opens a socket in `ns` (the calling thread's namespace by default), where it stays. */
  static open(ns?: NetNamespace): Rtnetlink {
    return new Rtnetlink(NetlinkSocket.open(NETLINK_ROUTE, ns));
  }

  /**
   * Runs requests in order, in one message to the kernel. It is no transaction: what comes after a refused
   * request is done all the same.
   * @returns for each request, at its index, null or why the kernel refused it.
   */
  batch(requests: readonly Request[]): (NetlinkError | null)[] {
    return this.#socket.batch(requests);
  }

  /** Runs requests as {@link Rtnetlink.batch} does, all of them, then throws the first error if there is one. */
  execute(requests: readonly Request[]): void {
    const error = this.batch(requests).find((result) => result !== null);
    if (error) throw error;
  }

  /** For {@link BackgroundRtnetlink}: runs requests on another thread. Nothing else may use this socket meanwhile. */
  get socket(): NetlinkSocket {
    return this.#socket;
  }

  links(filter: { master?: number } = {}): Link[] {
    return this.#socket.dump(dumpLinks(filter), decodeLink);
  }

  /** The link of a name or index; undefined when there is none. */
  link(nameOrIndex: string | number): Link | undefined {
    return unless(['ENODEV'], undefined, () => this.#socket.get(getLink(nameOrIndex), decodeLink));
  }

  /** The addresses of all links, or of one; of a link that is gone, none. */
  addresses(filter: { index?: number; family?: 4 | 6 } = {}): Address[] {
    return unless(['ENODEV'], [], () => this.#socket.dump(dumpAddresses(filter), decodeAddress));
  }

  /** The routes of all tables, or of one, or by one link. A table that does not exist has none. */
  routes(filter: { table?: number; family?: 4 | 6; oif?: number } = {}): Route[] {
    return unless(['ENOENT', 'ENODEV'], [], () => this.#socket.dump(dumpRoutes(filter), decodeRoute));
  }

  /** The rules, by family and priority. */
  rules(family?: 4 | 6): Rule[] {
    return this.#socket.dump(dumpRules(family), decodeRule);
  }

  /** The neighbours, of all links or of one; with `proxy: true` the proxy entries instead. */
  neighbours(filter: { index?: number; family?: 4 | 6; proxy?: boolean } = {}): Neighbour[] {
    return this.#socket.dump(dumpNeighbours(filter), decodeNeighbour);
  }

  /** The queueing disciplines, of all links or of one. */
  qdiscs(filter: { index?: number } = {}): Qdisc[] {
    return this.#socket
      .dump(dumpQdiscs(), decodeQdisc)
      .filter(({ index }) => filter.index === undefined || index === filter.index);
  }

  /** The filters of a link that run eBPF programs from its clsact qdisc; none when it has no such qdisc, or is gone. */
  bpfFilters(index: number): BpfFilter[] {
    return (['ingress', 'egress'] as const).flatMap((direction) =>
      unless(['ENODEV', 'EINVAL', 'ENOENT'], [], () =>
        this.#socket.dump(dumpBpfFilters(index, direction), decodeBpfFilter),
      ),
    );
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The result of `fn`, or `otherwise` when the kernel refuses with one of `codes`. */
function unless<T>(codes: string[], otherwise: T, fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    if (error instanceof NetlinkError && codes.includes(error.code)) return otherwise;
    throw error;
  }
}
