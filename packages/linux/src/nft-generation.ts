import { inNetfilter, type NetfilterPlace, nftRequest, readNft } from './nfnetlink.ts';

const NFT_MSG_GETGEN = 16;
const NFTA_GEN_ID = 1;

/**
 * How often the nftables ruleset of a namespace has been changed, by whomever: each transaction counts one. A ruleset
 * that was known at a generation is known while the generation stays.
 * @param place the calling thread's own namespace by default.
 */
export function nftGeneration(place?: NetfilterPlace): number {
  const request = nftRequest('NFT_MSG_GETGEN', NFT_MSG_GETGEN);
  return inNetfilter(place, (socket) =>
    socket.get(request, (payload) => readNft(payload).attributes.u32be(NFTA_GEN_ID) ?? 0),
  );
}
