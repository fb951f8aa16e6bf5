/** Changes of elements as the kernel takes them, for which no nft has to be run. Pure. */
import { networkOf, parseCidr, parseIp, prefixLength, toBytes } from '@enid/ip';
import { type NftElementChange, type NftEntry, NftError, type NftKey } from '@enid/linux';
import { affinityMaps, PROTOCOL_NUMBERS, PROTOCOLS, TABLE } from './layout.ts';
import type { Forgotten, Remembered } from './memory.ts';
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

const HIGHEST = { protocol: 0xff, port: 0xffff, slot: 0xffff_ffff } as const;

/**
 * Changes of elements, none of chains and affinity maps.
 * @throws {NftError} when one is not of the layout: nothing can be done with it.
 */
export function elementChanges(changes: readonly Change[]): NftElementChange[] {
  const removed = new Map<string, NftElementChange & { remove: NftKey[] }>();
  const added = new Map<string, NftElementChange & { add: NftEntry[] }>();
  const words = new Words();
  for (const { object, from, to } of changes) {
    const { family, set } = splitKey(object);
    const of = { family, table: TABLE, map: set };
    const element = words.element(object, to);
    if (from !== undefined)
      entry(removed, `${family} ${set}`, () => ({ ...of, remove: [] })).remove.push(element);
    if (to !== undefined) entry(added, `${family} ${set}`, () => ({ ...of, add: [] })).add.push(element);
  }
  return [...removed.values(), ...added.values()];
}

/** Forgets clients. It is refused, and all with it, when one of these has been given another endpoint meanwhile. */
export function forgetting({ family, memory, clients }: Forgotten): NftElementChange[] {
  const forget = (map: string, value: (client: Remembered) => Uint8Array): NftElementChange[] => {
    const entries = clients.map((one) => ({ key: toBytes(one.client), value: value(one) }));
    // Added first, since one that has run out meanwhile could not be removed, nor could then the others.
    return [
      { family, table: TABLE, map, add: entries },
      { family, table: TABLE, map, remove: entries },
    ];
  };
  const [addresses, ports] = affinityMaps(memory);
  return [
    ...forget(addresses, ({ address }) => toBytes(address)),
    ...forget(ports, ({ port }) => portBytes(port)),
  ];
}

/** Writes elements by their words, each of which is looked at once: an address is in many of them. */
class Words {
  readonly #known = new Map<string, Uint8Array>();

  /** An element to be removed or, with its value, to be added. */
  element(object: string, to: string | undefined): NftEntry {
    const { set, key } = splitKey(object);
    const shape = SHAPES[set];
    try {
      if (!shape) throw new RangeError(`there is no set ${set}`);
      return {
        key: this.#concatenated(key, shape.key, 'first'),
        ...(shape.key.includes('block') && { last: this.#concatenated(key, shape.key, 'last') }),
        ...(to && shape.value && { value: this.#value(to, shape.value) }),
      };
    } catch (error) {
      throw new NftError(
        `"${object}" to "${to ?? ''}" is not of the tables' layout: ${(error as Error).message}`,
      );
    }
  }

  #value(text: string, shape: Shape['value'] & {}): Uint8Array | string {
    if (shape !== 'chain') return this.#concatenated(text, shape, 'first');
    if (!text.startsWith('goto ')) throw new RangeError(`${text} leads to no chain`);
    return text.slice('goto '.length);
  }

  /** Parts one after the other, each from a multiple of 4 bytes on. @param end of blocks. */
  #concatenated(text: string, parts: readonly Part[], end: 'first' | 'last'): Uint8Array {
    const words = text.split(' . ');
    if (words.length !== parts.length)
      throw new RangeError(`${words.length} parts where there are ${parts.length}`);
    const written = parts.map((part, at) => {
      const word = words[at]!;
      return entry(this.#known, `${part === 'block' ? end : part} ${word}`, () => bytesOf(word, part, end));
    });
    const bytes = new Uint8Array(written.reduce((length, one) => length + padded(one), 0));
    let at = 0;
    for (const one of written) {
      bytes.set(one, at);
      at += padded(one);
    }
    return bytes;
  }
}

function padded({ length }: Uint8Array): number {
  return (length + 3) & ~3;
}

function bytesOf(word: string, part: Part, end: 'first' | 'last'): Uint8Array {
  if (part === 'address') return toBytes(parseIp(word));
  if (part === 'block') return endOf(word, end);
  const number = part === 'protocol' ? PROTOCOL_NUMBERS[word] : Number(word);
  if (number === undefined || !Number.isInteger(number) || number < 0 || number > HIGHEST[part])
    throw new RangeError(`${word} is no ${part}`);
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
