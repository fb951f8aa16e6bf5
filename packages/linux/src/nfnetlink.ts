/** nftables' own netlink protocol (linux/netfilter/nf_tables.h): it is asked and changed in microseconds, where nft(8) takes milliseconds. */
import { setTimeout as sleep } from 'node:timers/promises';
import { SyscallError } from './errno.ts';
import { Attributes, type MessageWriter } from './netlink/attributes.ts';
import { buildRequest, type Request } from './netlink/message.ts';
import { NetlinkSocket } from './netlink/socket.ts';
import type { NetNamespace } from './netns.ts';
import { membarrier } from './syscalls.ts';

const NETLINK_NETFILTER = 12;
const NFNL_SUBSYS_NFTABLES = 10;
/** struct nfgenmsg, whose first byte is a family */
const NFGENMSG_LENGTH = 4;

/** Where to ask: in a namespace, by default the calling thread's own, or by a socket that stays open. */
export type NetfilterPlace = NetNamespace | NetlinkSocket | undefined;

/**
 * A socket to ask nftables by, again and again. Who asks after changes of their own should keep one: when any of these sockets is
 * closed, the kernel first cleans up after transactions that are done, for which it waits some 10 to 20 ms.
 * @param ns the calling thread's own by default.
 */
export function openNetfilter(ns?: NetNamespace): NetlinkSocket {
  return NetlinkSocket.open(NETLINK_NETFILTER, ns);
}

/** Asks by the socket, or by one that is closed again. */
export function inNetfilter<T>(place: NetfilterPlace, ask: (socket: NetlinkSocket) => T): T {
  if (place instanceof NetlinkSocket) return ask(place);
  using socket = openNetfilter(place);
  return ask(socket);
}

/**
 * A request of nftables.
 * @param message its number (NFT_MSG_*).
 * @param of the family of the objects (NFPROTO_*), every one unless given; `fill` writes attributes.
 */
export function nftRequest(
  description: string,
  message: number,
  flags = 0,
  { family = 0, fill = () => {} }: { family?: number; fill?: (writer: MessageWriter) => void } = {},
): Request {
  return buildRequest(description, (NFNL_SUBSYS_NFTABLES << 8) | message, flags, (writer) => {
    const header = new Uint8Array(NFGENMSG_LENGTH);
    header[0] = family;
    writer.raw(header);
    fill(writer);
  });
}

/**
 * Does requests in one transaction: all of them or, when it throws, nothing.
 * @throws {NetlinkError} with the first request that was refused.
 */
export function nftTransaction(socket: NetlinkSocket, requests: readonly Request[]): Promise<void> {
  const [begin, end] = [bracket('NFNL_MSG_BATCH_BEGIN', 0x10), bracket('NFNL_MSG_BATCH_END', 0x11)];
  return socket.transaction(begin, requests, end);
}

/** Begins or ends a transaction: a message of nfnetlink itself, whose header names the subsystem. */
function bracket(description: string, message: number): Request {
  return buildRequest(description, message, 0, (writer) => {
    // res_id, in network byte order.
    writer.raw(new Uint8Array([0, 0, 0, NFNL_SUBSYS_NFTABLES]));
  });
}

/** The family of an answer (NFPROTO_*), and its attributes. */
export function readNft(payload: Uint8Array): { family: number; attributes: Attributes } {
  return { family: payload[0]!, attributes: new Attributes(payload, NFGENMSG_LENGTH) };
}

/** Where the kernel cannot be asked, in milliseconds: longer than it takes a packet by far. */
const PASSING = 50;

/**
 * Resolves when no packet is left under the rules that were in force before: those of a transaction that is done bind all packets that
 * come, while some may still be on their way by the former ones, and write to maps by them.
 */
export async function packetsPassed(): Promise<void> {
  try {
    await membarrier();
  } catch (error) {
    if (!(error instanceof SyscallError)) throw error;
    await sleep(PASSING);
  }
}
