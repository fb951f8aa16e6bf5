import { Attributes, attributesOf, type MessageWriter } from './netlink/attributes.ts';
import { NetlinkError, NLM_F_CREATE, NLM_F_DUMP, type Request } from './netlink/message.ts';
import type { NetlinkSocket } from './netlink/socket.ts';
import { inNetfilter, type NetfilterPlace, nftRequest, nftTransaction, readNft } from './nfnetlink.ts';
import { NftError } from './nftables.ts';

const NFT_MSG_NEWSETELEM = 12;
const NFT_MSG_GETSETELEM = 13;
const NFT_MSG_DELSETELEM = 14;
const NFTA_SET_ELEM_LIST = { table: 1, set: 2, elements: 3 } as const;
const NFTA_LIST_ELEM = 1;
const NFTA_SET_ELEM = { key: 1, data: 2, last: 10 } as const;
const NFTA_DATA = { value: 1, verdict: 2 } as const;
const NFTA_VERDICT = { code: 1, chain: 2 } as const;
const NFT_GOTO = -4;
const NFPROTO = { ip: 2, ip6: 10 } as const;
const PASSING = new Set(['EAGAIN', 'EINTR', 'ENOBUFS', 'ENOMEM', 'EPERM']);
/** Elements of one message. The attribute that has them all has a length of 16 bits, and chains have names of up to 255 bytes. */
const MESSAGE_ELEMENTS = 128;

/**
 * An element of a map of nftables, as the kernel has it: addresses and ports in network byte order, other numbers in the
 * machine's, each part of a concatenation padded with zeros to a multiple of 4 bytes. Of a set it has a key alone.
 */
export type NftElement = {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
};

/** The key of an element; the first and the last one, inclusive, of an element of a set of concatenations with intervals. */
export type NftKey = { readonly key: Uint8Array; readonly last?: Uint8Array };
/** An element to be written. A value may be the name of a chain to go to. */
export type NftEntry = NftKey & { readonly value?: Uint8Array | string };

/** What to do with elements of a set or map. */
export type NftElementChange = {
  readonly family: 'ip' | 'ip6';
  readonly table: string;
  readonly map: string;
} & (
  | { readonly remove: readonly NftKey[] }
  /** One that is there already with the same value stays. */
  | { readonly add: readonly NftEntry[] }
);

/**
 * Changes elements of sets and maps, in order and in one transaction: all or, when it throws, nothing. As `nft add element` and
 * `nft delete element`, most of whose time goes to a process and to what it reads first.
 * @param socket of `openNetfilter`, for one transaction at a time.
 * @throws {NftError} with the kernel's words: ENOENT where one to be removed, a map or a chain is not there, EEXIST or EBUSY where
 *   one is there with another value. {SyscallError} for what has nothing to do with them: ENOMEM, EPERM without CAP_NET_ADMIN.
 */
export async function changeNftElements(
  socket: NetlinkSocket,
  changes: readonly NftElementChange[],
): Promise<void> {
  try {
    await nftTransaction(socket, changes.flatMap(requestsOf));
  } catch (error) {
    // What says nothing of the elements may be otherwise the next time.
    if (!(error instanceof NetlinkError) || PASSING.has(error.code)) throw error;
    throw new NftError(error.message);
  }
}

function requestsOf(change: NftElementChange): Request[] {
  const { family, table, map } = change;
  const adds = 'add' in change;
  const elements: readonly NftEntry[] = adds ? change.add : change.remove;
  const [name, message, flags] = adds
    ? (['NFT_MSG_NEWSETELEM', NFT_MSG_NEWSETELEM, NLM_F_CREATE] as const)
    : (['NFT_MSG_DELSETELEM', NFT_MSG_DELSETELEM, 0] as const);
  const requests: Request[] = [];
  for (let at = 0; at < elements.length; at += MESSAGE_ELEMENTS) {
    const fill = (writer: MessageWriter) => {
      writer.attributeString(NFTA_SET_ELEM_LIST.table, table);
      writer.attributeString(NFTA_SET_ELEM_LIST.set, map);
      writer.attribute(NFTA_SET_ELEM_LIST.elements, () => {
        for (const element of elements.slice(at, at + MESSAGE_ELEMENTS))
          writer.attribute(NFTA_LIST_ELEM, () => writeElement(writer, element, adds));
      });
    };
    const description = `${name} ${family} ${table} ${map}`;
    requests.push(nftRequest(description, message, flags, { family: NFPROTO[family], fill }));
  }
  return requests;
}

function writeElement(writer: MessageWriter, { key, last, value }: NftEntry, adds: boolean): void {
  writer.attribute(NFTA_SET_ELEM.key, () => writer.attributeBytes(NFTA_DATA.value, key));
  if (last) writer.attribute(NFTA_SET_ELEM.last, () => writer.attributeBytes(NFTA_DATA.value, last));
  if (!adds || value === undefined) return;
  writer.attribute(NFTA_SET_ELEM.data, () => {
    if (typeof value !== 'string') return writer.attributeBytes(NFTA_DATA.value, value);
    writer.attribute(NFTA_DATA.verdict, () => {
      writer.attributeU32be(NFTA_VERDICT.code, NFT_GOTO >>> 0);
      writer.attributeString(NFTA_VERDICT.chain, value);
    });
  });
}

/**
 * The elements of a map that have not run out.
 * @param place the calling thread's own namespace by default.
 * @returns undefined when there is no such map.
 * @throws {NetlinkError} EPERM without CAP_NET_ADMIN.
 */
export function nftElements(
  { family, table, map }: { family: 'ip' | 'ip6'; table: string; map: string },
  place?: NetfilterPlace,
): NftElement[] | undefined {
  const request = nftRequest('NFT_MSG_GETSETELEM', NFT_MSG_GETSETELEM, NLM_F_DUMP, {
    family: NFPROTO[family],
    fill: (writer) => {
      writer.attributeString(NFTA_SET_ELEM_LIST.table, table);
      writer.attributeString(NFTA_SET_ELEM_LIST.set, map);
    },
  });
  try {
    return inNetfilter(place, (socket) =>
      socket.dump(request, (payload) => readElements(readNft(payload).attributes)),
    ).flat();
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
    const value = (type: number) => element.nested(type)?.bytes(NFTA_DATA.value)?.slice() ?? new Uint8Array();
    return { key: value(NFTA_SET_ELEM.key), value: value(NFTA_SET_ELEM.data) };
  });
}
