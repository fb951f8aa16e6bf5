/** What nftables' own netlink protocol tells (linux/netfilter/nf_tables.h), in microseconds, where nft(8) takes milliseconds. */
import { Attributes, type MessageWriter } from './netlink/attributes.ts';
import { buildRequest, type Request } from './netlink/message.ts';
import { NetlinkSocket } from './netlink/socket.ts';
import type { NetNamespace } from './netns.ts';

const NETLINK_NETFILTER = 12;
/** struct nfgenmsg, whose first byte is a family */
const NFGENMSG_LENGTH = 4;

/** @param ns the calling thread's own by default. */
export function openNetfilter(ns?: NetNamespace): NetlinkSocket {
  return NetlinkSocket.open(NETLINK_NETFILTER, ns);
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
  // The upper byte is nftables' subsystem of nfnetlink.
  return buildRequest(description, (10 << 8) | message, flags, (writer) => {
    const header = new Uint8Array(NFGENMSG_LENGTH);
    header[0] = family;
    writer.raw(header);
    fill(writer);
  });
}

/** The family of an answer (NFPROTO_*), and its attributes. */
export function readNft(payload: Uint8Array): { family: number; attributes: Attributes } {
  return { family: payload[0]!, attributes: new Attributes(payload, NFGENMSG_LENGTH) };
}
