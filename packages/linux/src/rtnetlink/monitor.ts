import { isMainThread } from 'node:worker_threads';
import { EAGAIN, ENOBUFS, type SyscallError } from '../errno.ts';
import { MalformedMessageError } from '../netlink/attributes.ts';
import type { Message } from '../netlink/message.ts';
import { NETLINK_ROUTE, NetlinkSocket } from '../netlink/socket.ts';
import type { NetNamespace } from '../netns.ts';
import * as sys from '../syscalls.ts';
import { type Address, decodeAddress, RTM_DELADDR, RTM_NEWADDR } from './address.ts';
import { decodeLink, type Link, RTM_DELLINK, RTM_NEWLINK } from './link.ts';
import { decodeNeighbour, type Neighbour, RTM_DELNEIGH, RTM_NEWNEIGH } from './neighbour.ts';
import { decodeRoute, type Route, RTM_DELROUTE, RTM_NEWROUTE } from './route.ts';
import { decodeRule, RTM_DELRULE, RTM_NEWRULE, type Rule } from './rule.ts';

/** What can be subscribed to. */
export type MonitorGroup = 'link' | 'address' | 'route' | 'rule' | 'neighbour';

/** A change that the kernel reported. `new` is also said of an object that changed. */
export type MonitorEvent =
  | { type: 'link'; action: 'new' | 'delete'; link: Link }
  | { type: 'address'; action: 'new' | 'delete'; address: Address }
  | { type: 'route'; action: 'new' | 'delete'; route: Route }
  | { type: 'rule'; action: 'new' | 'delete'; rule: Rule }
  | { type: 'neighbour'; action: 'new' | 'delete'; neighbour: Neighbour }
  /** Changes came faster than they were read and some were lost: list anew what matters. */
  | { type: 'lost' };

/** RTNLGRP_*; one a family. */
const groupNumbers: Record<MonitorGroup, number[]> = {
  link: [1],
  neighbour: [3],
  address: [5, 9],
  route: [7, 11],
  rule: [8, 19],
};

/** The signal by which the kernel says that there is something to read. Ignored by default, unlike SIGIO. */
const SIGNAL = 'SIGURG';
const SIGURG = 23;

/**
 * A subscription to changes of a namespace's links, addresses, routes, rules and neighbours.
 *
 * Waiting takes neither a thread nor a timer: the sockets are in signal-driven mode (O_ASYNC, fcntl(2)), and
 * SIGURG makes the event loop read them. To miss nothing, subscribe first, then list.
 */
export class Monitor implements Disposable {
  static readonly #open = new Set<Monitor>();

  readonly #socket: NetlinkSocket;
  readonly #onEvent: (event: MonitorEvent) => void;

  /** Use {@link monitor}. */
  constructor(
    ns: NetNamespace | undefined,
    groups: readonly MonitorGroup[],
    onEvent: (event: MonitorEvent) => void,
  ) {
    if (!isMainThread) throw new Error('a monitor needs the main thread: worker threads receive no signals');
    this.#onEvent = onEvent;
    this.#socket = NetlinkSocket.open(NETLINK_ROUTE, ns);
    try {
      sys.fcntl(this.#socket.fd, sys.F_SETOWN, process.pid);
      sys.fcntl(this.#socket.fd, sys.F_SETSIG, SIGURG);
      sys.fcntl(this.#socket.fd, sys.F_SETFL, sys.O_ASYNC | sys.O_NONBLOCK);
      if (Monitor.#open.size === 0) process.on(SIGNAL, Monitor.#readAll);
      Monitor.#open.add(this);
      for (const group of groups) for (const number of groupNumbers[group]) this.#socket.join(number);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Ends the subscription; no event follows. */
  close(): void {
    this.#socket.close();
    if (Monitor.#open.delete(this) && Monitor.#open.size === 0) process.off(SIGNAL, Monitor.#readAll);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  // The signal does not say which socket it is about, and several sockets may share one signal.
  static readonly #readAll = (): void => {
    for (const monitor of Monitor.#open) {
      for (const event of monitor.#read()) monitor.#deliver(event);
    }
  };

  #deliver(event: MonitorEvent): void {
    if (!Monitor.#open.has(this)) return;
    try {
      this.#onEvent(event);
    } catch (error) {
      // An uncaught exception all the same, but thrown where it does not take the events that follow along.
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #read(): MonitorEvent[] {
    const events: MonitorEvent[] = [];
    for (;;) {
      try {
        for (const message of this.#socket.receive()) {
          const event = decodeEvent(message);
          if (event) events.push(event);
        }
      } catch (error) {
        if ((error as SyscallError).errno === EAGAIN) return events;
        const unreadable = error instanceof MalformedMessageError;
        if (!unreadable && (error as SyscallError).errno !== ENOBUFS) throw error;
        events.push({ type: 'lost' });
      }
    }
  }
}

/**
 * Subscribes to changes. Has to be called on the main thread, and uses the process's signal SIGURG. Does not keep the
 * process alive by itself.
 * @param ns      the namespace; the calling thread's own when undefined. It may be closed afterwards.
 * @param onEvent called from the event loop, in the order of the changes.
 * @throws {SyscallError}
 */
export function monitor(
  ns: NetNamespace | undefined,
  groups: readonly MonitorGroup[],
  onEvent: (event: MonitorEvent) => void,
): Monitor {
  return new Monitor(ns, groups, onEvent);
}

/**
 * Reads a message of a subscription.
 * @returns undefined for one of another type, or of another family than IP.
 * @throws {MalformedMessageError}
 */
export function decodeEvent({ type, payload }: Message): MonitorEvent | undefined {
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      const link = decodeLink(payload);
      return link && { type: 'link', action: type === RTM_NEWLINK ? 'new' : 'delete', link };
    }
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const address = decodeAddress(payload);
      return address && { type: 'address', action: type === RTM_NEWADDR ? 'new' : 'delete', address };
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const route = decodeRoute(payload);
      return route && { type: 'route', action: type === RTM_NEWROUTE ? 'new' : 'delete', route };
    }
    case RTM_NEWRULE:
    case RTM_DELRULE: {
      const rule = decodeRule(payload);
      return rule && { type: 'rule', action: type === RTM_NEWRULE ? 'new' : 'delete', rule };
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const neighbour = decodeNeighbour(payload);
      return neighbour && { type: 'neighbour', action: type === RTM_NEWNEIGH ? 'new' : 'delete', neighbour };
    }
    default:
      return undefined;
  }
}
