import { closeSync } from 'node:fs';
import { EINTR, SyscallError } from '../errno.ts';
import type { NetNamespace } from '../netns.ts';
import * as sys from '../syscalls.ts';
import {
  type Message,
  messagesOf,
  type NetlinkError,
  NLM_F_ACK,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
  NLMSG_OVERRUN,
  type Request,
  readAnswer,
} from './message.ts';

/** Told of an object that a request brought, by the request's index. */
type ObjectListener = (at: number, payload: Uint8Array) => void;

/** The protocol of rtnetlink(7). */
export const NETLINK_ROUTE = 0;

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_RCVTIMEO = 20;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

/** The kernel queues an answer for each request while it reads them; this many surely fit the receive buffer. */
const CHUNK = 128;
const RECEIVE_BUFFER_SIZE = 1 << 20;
/** A datagram of so many bytes can be sent without more ado (net.core.wmem_default); the kernel doubles what it is asked for. */
const SEND_BUFFER_SIZE = 1 << 16;
const MAX_SEND_BUFFER_SIZE = 0x3fffffff;
/** Answers are there when send(2) returns. The limit is for a kernel that breaks this rule. */
const ANSWER_TIMEOUT_SECONDS = 10;
const DUMP_ATTEMPTS = 20;

/**
 * One for all sockets: a datagram is decoded before the next is received. 32 KiB is the kernel's largest datagram
 * of a dump, but a single object may be larger (a NIC with many virtual functions).
 */
const receiveBuffer = new Uint8Array(1 << 17);

/**
 * A netlink socket (netlink(7)) of one namespace. Requests are answered before they return: the kernel works
 * on them within send(2).
 */
export class NetlinkSocket implements Disposable {
  readonly #fd: number;
  #sequence = 0;
  #sendBuffer = SEND_BUFFER_SIZE;
  #closed = false;

  /** @param protocol such as 0 for NETLINK_ROUTE. @param ns the namespace; the thread's own by default. */
  static open(protocol: number, ns?: NetNamespace): NetlinkSocket {
    const open = () => sys.socket(sys.AF_NETLINK, sys.SOCK_RAW, protocol);
    const socket = new NetlinkSocket(ns ? ns.run(open) : open());
    try {
      socket.#prepare();
      return socket;
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  /** @param fd an open socket, which is closed with this. */
  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The open file descriptor. @throws {Error} when it is closed, since its number may be another's by then. */
  get fd(): number {
    if (this.#closed) throw new Error('the netlink socket is closed');
    return this.#fd;
  }

  #prepare(): void {
    sys.setsockopt(this.fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
    sys.setsockopt(this.fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
    sys.setsockopt(this.fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
    sys.setsockopt(this.fd, SOL_SOCKET, SO_RCVTIMEO, timeval(ANSWER_TIMEOUT_SECONDS));
    force(this.fd, [SO_RCVBUFFORCE, SO_RCVBUF], RECEIVE_BUFFER_SIZE);
    // struct sockaddr_nl; port 0 lets the kernel choose.
    const address = new Uint8Array(12);
    address[0] = sys.AF_NETLINK;
    sys.bind(this.fd, address, 'netlink');
  }

  #enlargeSendBuffer(size: number): void {
    if (size <= this.#sendBuffer) return;
    this.#sendBuffer = size;
    force(this.fd, [SO_SNDBUFFORCE, SO_SNDBUF], Math.min(size, MAX_SEND_BUFFER_SIZE));
  }

  /** Subscribes to a multicast group (RTNLGRP_*). */
  join(group: number): void {
    sys.setsockopt(this.fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
  }

  /**
   * Sends requests together and reads the answer of each. It is no transaction: each one is done or refused for itself,
   * in order.
   * @param object told of each object that comes before the answer of a request, at its index. The payload is valid
   *   during the call only.
   * @returns for each request, at its index, null or why it was refused.
   * @throws {SyscallError} when the socket fails; which requests were done is then unknown.
   */
  batch(requests: readonly Request[], object?: ObjectListener): (NetlinkError | null)[] {
    const results: (NetlinkError | null)[] = [];
    for (let at = 0; at < requests.length; at += CHUNK) {
      const chunk = requests.slice(at, at + CHUNK);
      const { bytes, first } = this.#join(chunk);
      sys.send(this.fd, bytes);
      results.push(
        ...this.#answers(chunk, first, object && ((index, payload) => object(at + index, payload))),
      );
    }
    return results;
  }

  /** As {@link NetlinkSocket.batch} for few requests, waiting on another thread. One call at a time. */
  async batchInBackground(
    requests: readonly Request[],
    object?: ObjectListener,
  ): Promise<(NetlinkError | null)[]> {
    const { bytes, first } = this.#join(requests);
    await sys.sendInBackground(this.fd, bytes);
    return this.#answers(requests, first, object);
  }

  /**
   * Sends requests that are done together or not at all: a batch of nfnetlink, between the messages that begin and end it. Waits on
   * another thread, since somebody else's transaction may be under way.
   * @throws {NetlinkError} the first of those for which it was refused.
   */
  async transaction(begin: Request, requests: readonly Request[], end: Request): Promise<void> {
    if (requests.length === 0) return;
    const all = [begin, ...requests, end];
    // Kernels differ in whether they answer the beginning and the end. The last request between them always is, after all errors.
    const { bytes, first } = this.#join(all, (at) => at === requests.length);
    this.#enlargeSendBuffer(bytes.length);
    await sys.sendInBackground(this.fd, bytes);
    let refused: NetlinkError | null = null;
    try {
      for (;;) {
        for (const message of this.#receive(first)) {
          if (message.type !== NLMSG_ERROR) continue;
          const at = message.sequence - first;
          refused ??= readAnswer(message, all[at]!.description);
          // An error of the beginning is one of the whole.
          if (at !== 0 && at !== requests.length) continue;
          if (refused) throw refused;
          return;
        }
      }
    } catch (error) {
      // While there are answers left, the kernel may have no room for those to the next request.
      sys.discard(this.fd);
      throw error;
    }
  }

  /** As {@link NetlinkSocket.batchInBackground} for one request. */
  async requestInBackground(request: Request): Promise<NetlinkError | null> {
    return (await this.batchInBackground([request]))[0] ?? null;
  }

  /**
   * Sends a request that one message answers, without NLM_F_ACK.
   * @param decode reads the message's payload, which is valid during the call only.
   * @throws {NetlinkError} when it is refused.
   */
  get<T>(request: Request, decode: (payload: Uint8Array) => T): T {
    const sequence = this.#send(request);
    for (;;) {
      for (const message of this.#receive(sequence)) {
        if (message.type !== NLMSG_ERROR) return decode(message.payload);
        const error = readAnswer(message, request.description);
        if (error) throw error;
      }
    }
  }

  /**
   * Sends a dump request and reads all parts of the answer. A dump that a change interrupted is started again.
   * @param decode reads one message's payload; what it gives undefined for is left out.
   * @throws {NetlinkError} when it is refused, and EINTR when all of many attempts were interrupted.
   */
  dump<T>(request: Request, decode: (payload: Uint8Array) => T | undefined): T[] {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const objects = this.#dumpOnce(request, decode);
      if (objects) return objects;
    }
    throw new SyscallError(
      'netlink',
      EINTR,
      request.description,
      `interrupted by changes ${DUMP_ATTEMPTS} times`,
    );
  }

  /** undefined when the dump was interrupted. */
  #dumpOnce<T>(request: Request, decode: (payload: Uint8Array) => T | undefined): T[] | undefined {
    const sequence = this.#send(request);
    const objects: T[] = [];
    let interrupted = false;
    // Read to the end also when an object makes no sense: a dump that is left half-way blocks the next.
    let failure: { error: unknown } | undefined;
    for (;;) {
      for (const message of this.#receive(sequence)) {
        interrupted ||= (message.flags & NLM_F_DUMP_INTR) !== 0;
        if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
          const error = readAnswer(message, request.description);
          if (error) throw error;
          if (failure) throw failure.error;
          return interrupted ? undefined : objects;
        }
        try {
          const object = decode(message.payload);
          if (object !== undefined) objects.push(object);
        } catch (error) {
          failure ??= { error };
        }
      }
    }
  }

  #send(request: Request): number {
    const sequence = this.#nextSequence();
    const message = request.message.slice();
    new DataView(message.buffer).setUint32(8, sequence, true);
    sys.send(this.fd, message);
    return sequence;
  }

  /** The requests in one datagram, numbered from `first`, each or some asking for an acknowledgement. */
  #join(
    requests: readonly Request[],
    acknowledged: (at: number) => boolean = () => true,
  ): { bytes: Uint8Array; first: number } {
    const bytes = new Uint8Array(requests.reduce((sum, { message }) => sum + ((message.length + 3) & ~3), 0));
    const view = new DataView(bytes.buffer);
    let first = 0;
    let at = 0;
    for (const [index, { message }] of requests.entries()) {
      const sequence = this.#nextSequence();
      first ||= sequence;
      bytes.set(message, at);
      if (acknowledged(index)) view.setUint16(at + 6, view.getUint16(at + 6, true) | NLM_F_ACK, true);
      view.setUint32(at + 8, sequence, true);
      at += (message.length + 3) & ~3;
    }
    return { bytes, first };
  }

  #answers(requests: readonly Request[], first: number, object?: ObjectListener): (NetlinkError | null)[] {
    const results: (NetlinkError | null)[] = [];
    while (results.length < requests.length) {
      const expected = first + results.length;
      for (const message of this.#receive(expected)) {
        if (message.type !== NLMSG_ERROR) {
          object?.(results.length, message.payload);
          continue;
        }
        results.push(readAnswer(message, requests[results.length]!.description));
      }
    }
    return results;
  }

  /** The messages of the next datagram, without any that are left from an answer that was not read to its end. */
  *#receive(sequence: number): Generator<Message> {
    for (const message of messagesOf(sys.recv(this.fd, receiveBuffer))) {
      if (message.sequence >= sequence && message.type !== NLMSG_NOOP && message.type !== NLMSG_OVERRUN) {
        yield message;
      }
    }
  }

  #nextSequence(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  /** The messages of the next datagram of a subscription. @throws {SyscallError} as recv(2) does. */
  receive(): Generator<Message> {
    return messagesOf(sys.recv(this.fd, receiveBuffer));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Sets the size of a buffer beyond net.core.rmem_max or wmem_max where that is allowed (CAP_NET_ADMIN), else as far as it goes. */
function force(fd: number, [beyond, within]: readonly [number, number], size: number): void {
  try {
    sys.setsockopt(fd, SOL_SOCKET, beyond, size);
  } catch {
    sys.setsockopt(fd, SOL_SOCKET, within, size);
  }
}

function timeval(seconds: number): Uint8Array {
  return new Uint8Array(BigInt64Array.of(BigInt(seconds), 0n).buffer);
}
