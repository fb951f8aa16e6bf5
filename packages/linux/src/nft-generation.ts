import { Attributes } from './netlink/attributes.ts';
import { buildRequest } from './netlink/message.ts';
import { NetlinkSocket } from './netlink/socket.ts';
import type { NetNamespace } from './netns.ts';

const NETLINK_NETFILTER = 12;
/** nfnetlink's message types have the subsystem (10: nftables) in the upper byte. */
const NFT_MSG_GETGEN = (10 << 8) | 16;
const NFTA_GEN_ID = 1;
/** struct nfgenmsg */
const NFGENMSG_LENGTH = 4;

/**
 * How often the nftables ruleset of a namespace has been changed, by whomever: each transaction counts one. A ruleset
 * that was known at a generation is known while the generation stays. Takes microseconds; listing takes milliseconds.
 * @param ns the calling thread's own by default.
 */
export function nftGeneration(ns?: NetNamespace): number {
  using socket = NetlinkSocket.open(NETLINK_NETFILTER, ns);
  const request = buildRequest('NFT_MSG_GETGEN', NFT_MSG_GETGEN, 0, (writer) => {
    writer.raw(new Uint8Array(NFGENMSG_LENGTH));
  });
  return socket.get(request, (payload) => new Attributes(payload, NFGENMSG_LENGTH).u32be(NFTA_GEN_ID) ?? 0);
}
