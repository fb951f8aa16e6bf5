import { Attributes, attributesOf } from './netlink/attributes.ts';
import { NetlinkError, NLM_F_DUMP } from './netlink/message.ts';
import type { NetNamespace } from './netns.ts';
import { nftRequest, openNetfilter, readNft } from './nfnetlink.ts';

const NFT_MSG_GETSETELEM = 13;
const NFTA_SET_ELEM_LIST = { table: 1, set: 2, elements: 3 } as const;
const NFTA_SET_ELEM = { key: 1, data: 2 } as const;
const NFTA_DATA_VALUE = 1;
const NFPROTO = { ip: 2, ip6: 10 } as const;

/** An element of a map of nftables, as the kernel has it: numbers in network byte order. */
export type NftElement = { readonly key: Uint8Array; readonly value: Uint8Array };

/**
 * The elements of a map that have not run out.
 * @param ns the calling thread's own by default.
 * @returns undefined when there is no such map.
 * @throws {NetlinkError} EPERM without CAP_NET_ADMIN.
 */
export function nftElements(
  { family, table, map }: { family: 'ip' | 'ip6'; table: string; map: string },
  ns?: NetNamespace,
): NftElement[] | undefined {
  const request = nftRequest('NFT_MSG_GETSETELEM', NFT_MSG_GETSETELEM, NLM_F_DUMP, {
    family: NFPROTO[family],
    fill: (writer) => {
      writer.attributeString(NFTA_SET_ELEM_LIST.table, table);
      writer.attributeString(NFTA_SET_ELEM_LIST.set, map);
    },
  });
  using socket = openNetfilter(ns);
  try {
    return socket.dump(request, (payload) => readElements(readNft(payload).attributes)).flat();
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function readElements(list: Attributes): NftElement[] {
  const elements = list.bytes(NFTA_SET_ELEM_LIST.elements) ?? new Uint8Array();
  return [...attributesOf(elements)].map(([, bytes]) => {
    const element = new Attributes(bytes);
    // The bytes are those of a buffer that the next answer is read into.
    const value = (type: number) => element.nested(type)?.bytes(NFTA_DATA_VALUE)?.slice() ?? new Uint8Array();
    return { key: value(NFTA_SET_ELEM.key), value: value(NFTA_SET_ELEM.data) };
  });
}
