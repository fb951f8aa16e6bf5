/** Changes of elements as the kernel takes them, for which no nft has to be run. Pure. */
import { networkOf, parseCidr, parseIp, prefixLength, toBytes } from '@enid/ip';
import { type NftElementChange, type NftEntry, NftError, type NftKey } from '@enid/linux';
import { affinityMaps, PROTOCOLS, TABLE } from './layout.ts';
import type { Forgotten } from './memory.ts';
import { type Change, entry, splitKey } from './objects.ts';

/** A block is an address or one with the length of its prefix, in a set with intervals. */
type Part = 'address' | 'block' | 'protocol' | 'port' | 'slot';
/** What keys and values are put together from; a value may be a chain to go to. */
type Shape = { readonly key: readonly Part[]; readonly value?: readonly Part[] | 'chain' };

/** As the layout declares them. */
const SHAPES: Readonly<Record<string, Shape>> = {
  frontends: { key: ['address', 'protocol', 'port'], value: 'chain' },
  ...Object.fromEntries(
    PROTOCOLS.map((protocol): [string, Shape] => [
      `endpoints-${protocol}`,
      { key: ['address', 'port', 'slot'], value: ['address', 'port'] },
    ]),
  ),
  'affinity-members': { key: ['address', 'protocol', 'port', 'address', 'port'], value: 'chain' },
  'source-ranges': { key: ['address', 'protocol', 'port', 'block'] },
  hairpin: { key: ['address', 'address'] },
  'cluster-ips': { key: ['address'] },
};

const PROTOCOL_NUMBERS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };

/**
 * Changes of elements, none of chains and affinity maps.
 * @throws {NftError} when one is not of the layout: nothing can be done with it.
 */
export function elementChanges(changes: readonly Change[]): NftElementChange[] {
  const removed = new Map<string, NftElementChange & { remove: NftKey[] }>();
  const added = new Map<string, NftElementChange & { add: NftEntry[] }>();
  for (const { object, from, to } of changes) {
    const { family, set } = splitKey(object);
    const of = { family, table: TABLE, map: set };
    const known = written(object, to);
    if (from !== undefined)
      entry(removed, `${family} ${set}`, () => ({ ...of, remove: [] })).remove.push(known);
    if (to !== undefined) entry(added, `${family} ${set}`, () => ({ ...of, add: [] })).add.push(known);
  }
  return [...removed.values(), ...added.values()];
}

/** Forgets clients. It is refused, and all with it, when one of these has been given another endpoint meanwhile. */
export function forgetting({ family, memory, clients }: Forgotten): NftElementChange[] {
  const forget = (map: string, values: readonly Uint8Array[]): NftElementChange[] => {
    const entries = clients.map(({ client }, at) => ({ key: toBytes(client), value: values[at]! }));
    // Added first, since one that has run out meanwhile could not be removed, nor could then the others.
    return [
      { family, table: TABLE, map, add: entries },
      { family, table: TABLE, map, remove: entries },
    ];
  };
  const [addresses, ports] = affinityMaps(memory);
  return [
    ...forget(
      addresses,
      clients.map(({ address }) => toBytes(address)),
    ),
    ...forget(
      ports,
      clients.map(({ port }) => portBytes(port)),
    ),
  ];
}

/** An element to be removed or, with its value, to be added. */
function written(object: string, to: string | undefined): NftEntry {
  const { set, key } = splitKey(object);
  const shape = SHAPES[set];
  try {
    if (!shape) throw new RangeError(`there is no set ${set}`);
    const parts = key.split(' . ');
    return {
      key: concatenated(parts, shape.key, 'first'),
      ...(shape.key.includes('block') && { last: concatenated(parts, shape.key, 'last') }),
      ...(to && shape.value && { value: value(to, shape.value) }),
    };
  } catch (error) {
    throw new NftError(
      `"${object}" to "${to ?? ''}" is not of the tables' layout: ${(error as Error).message}`,
    );
  }
}

function value(text: string, shape: Shape['value'] & {}): Uint8Array | string {
  if (shape !== 'chain') return concatenated(text.split(' . '), shape, 'first');
  const [, chain] = /^goto (.+)$/.exec(text) ?? [];
  if (chain === undefined) throw new RangeError(`${text} leads to no chain`);
  return chain;
}

/** Parts one after the other, each from a multiple of 4 bytes on. @param end of blocks. */
function concatenated(words: readonly string[], parts: readonly Part[], end: 'first' | 'last'): Uint8Array {
  if (words.length !== parts.length)
    throw new RangeError(`${words.length} parts where there are ${parts.length}`);
  const bytes: number[] = [];
  for (const [at, part] of parts.entries()) {
    const written = part === 'block' ? endOf(words[at]!, end) : partBytes(words[at]!, part);
    bytes.push(...written);
    while (bytes.length & 3) bytes.push(0);
  }
  return Uint8Array.from(bytes);
}

function partBytes(word: string, part: Exclude<Part, 'block'>): Uint8Array {
  if (part === 'address') return toBytes(parseIp(word));
  const number = part === 'protocol' ? PROTOCOL_NUMBERS[word] : Number(word);
  if (number === undefined || !Number.isInteger(number)) throw new RangeError(`${word} is no ${part}`);
  if (part === 'port') return portBytes(number);
  // As numgen draws it: in the machine's byte order.
  return part === 'slot' ? new Uint8Array(Uint32Array.of(number).buffer) : Uint8Array.of(number);
}

function portBytes(port: number): Uint8Array {
  return Uint8Array.of(port >> 8, port & 0xff);
}

/** The first or the last address of a block. */
function endOf(word: string, end: 'first' | 'last'): Uint8Array {
  if (!word.includes('/')) return toBytes(parseIp(word));
  const block = parseCidr(word);
  const bytes = toBytes(networkOf(block));
  if (end === 'last') {
    for (let bit = prefixLength(block); bit < 8 * bytes.length; bit++) bytes[bit >> 3]! |= 0x80 >> (bit & 7);
  }
  return bytes;
}
