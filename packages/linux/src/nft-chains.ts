import { NLM_F_DUMP } from './netlink/message.ts';
import { inNetfilter, type NetfilterPlace, nftRequest, readNft } from './nfnetlink.ts';

const NFT_MSG_GETCHAIN = 4;
const NFTA_CHAIN = { table: 1, name: 3 } as const;

/** NFPROTO_* by nft's words. */
const families: Record<number, string> = {
  1: 'inet',
  2: 'ip',
  3: 'arp',
  5: 'netdev',
  7: 'bridge',
  10: 'ip6',
};

/** A chain of nftables, as nft(8) names it. */
export type NftChain = { readonly family: string; readonly table: string; readonly name: string };

/**
 * The chains of all tables of nftables, whoever made them: those of iptables-nft, too.
 * @param place the calling thread's own namespace by default.
 * @throws {NetlinkError} EPERM without CAP_NET_ADMIN.
 */
export function nftChains(place?: NetfilterPlace): NftChain[] {
  const request = nftRequest('NFT_MSG_GETCHAIN', NFT_MSG_GETCHAIN, NLM_F_DUMP);
  return inNetfilter(place, (socket) =>
    socket.dump(request, (payload) => {
      const { family, attributes } = readNft(payload);
      const [table = '', name = ''] = [NFTA_CHAIN.table, NFTA_CHAIN.name].map((type) =>
        attributes.string(type),
      );
      return { family: families[family] ?? `${family}`, table, name };
    }),
  );
}
