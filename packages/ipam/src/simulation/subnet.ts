import { cidrOf, fromNumber, toNumber } from '@enid/ip';
import type { SlotSource } from '../planner/index.ts';
import { addressesIn, PREFIX_LENGTH, prefixSlotOf, type Slot, type SlotKind, slotOf } from '../pool.ts';
import type { Random } from './random.ts';

const BLOCK = 2 ** (32 - PREFIX_LENGTH[4]);
/** The first four addresses of a subnet and the last are AWS's. */
const RESERVED_FIRST = 4;

/** A subnet's addresses. Single ones come from anywhere in it, as from EC2, and so break blocks up. */
export class Subnet implements SlotSource {
  readonly name: string;
  /** Addresses that may be had at all. */
  readonly size: number;
  readonly #base: number;
  readonly #random: Random;
  /** Offsets of free addresses in no order, and where each stands among them; -1 for one that is taken. */
  readonly #free: number[] = [];
  readonly #place: Int32Array;
  /** Blocks all of whose addresses are free, likewise. */
  readonly #blocks: number[] = [];
  readonly #blockPlace: Int32Array;
  readonly #freeInBlock: Uint8Array;
  readonly #eniAddress = new Map<string, number>();
  /** When a request was first refused, in milliseconds. */
  dryAt: number | undefined;
  leastFree: number;

  /** @param base number of its first address. @param length bits of its prefix. */
  constructor(name: string, base: number, length: number, random: Random) {
    this.name = name;
    this.#base = base;
    this.#random = random;
    const addresses = 2 ** (32 - length);
    this.#place = new Int32Array(addresses).fill(-1);
    this.#freeInBlock = new Uint8Array(Math.ceil(addresses / BLOCK));
    this.#blockPlace = new Int32Array(this.#freeInBlock.length).fill(-1);
    for (let offset = RESERVED_FIRST; offset < addresses - 1; offset++) this.#put(offset);
    this.size = this.#free.length;
    this.leastFree = this.size;
  }

  get free(): number {
    return this.#free.length;
  }

  takeEni(id: string, kind: SlotKind, count: number): readonly Slot[] | undefined {
    if (this.#free.length < 1) return undefined;
    const own = this.#takeAddress();
    const slots = this.takeSlots(kind, count);
    if (slots) this.#eniAddress.set(id, own);
    else this.#put(own);
    return slots;
  }

  takeSlots(kind: SlotKind, count: number): readonly Slot[] | undefined {
    if ((kind === 'prefix' ? this.#blocks : this.#free).length < count) return undefined;
    const slots = Array.from({ length: count }, () =>
      kind === 'prefix'
        ? prefixSlotOf(cidrOf(fromNumber(this.#base + this.#takeBlock() * BLOCK), PREFIX_LENGTH[4]))
        : slotOf(fromNumber(this.#base + this.#takeAddress())),
    );
    this.leastFree = Math.min(this.leastFree, this.#free.length);
    return slots;
  }

  returnEni(id: string, slots: readonly Slot[]): void {
    this.#put(this.#eniAddress.get(id)!);
    this.#eniAddress.delete(id);
    this.returnSlots(slots);
  }

  returnSlots(slots: readonly Slot[]): void {
    for (const slot of slots) {
      for (const address of addressesIn(slot)) this.#put(toNumber(address) - this.#base);
    }
  }

  #takeAddress(): number {
    const offset = this.#free[this.#random.below(this.#free.length)]!;
    this.#remove(offset);
    return offset;
  }

  #takeBlock(): number {
    const block = this.#blocks[this.#random.below(this.#blocks.length)]!;
    for (let offset = block * BLOCK; offset < (block + 1) * BLOCK; offset++) this.#remove(offset);
    return block;
  }

  #put(offset: number): void {
    if (this.#place[offset] !== -1)
      throw new Error(`${this.name} has got an address back that was not taken`);
    this.#place[offset] = this.#free.push(offset) - 1;
    const block = Math.floor(offset / BLOCK);
    this.#freeInBlock[block]!++;
    if (this.#freeInBlock[block] === BLOCK) this.#blockPlace[block] = this.#blocks.push(block) - 1;
  }

  #remove(offset: number): void {
    removeAt(this.#free, this.#place, offset);
    const block = Math.floor(offset / BLOCK);
    if (this.#freeInBlock[block] === BLOCK) removeAt(this.#blocks, this.#blockPlace, block);
    this.#freeInBlock[block]!--;
  }
}

/** Takes an item out of a list without order: the last one takes its place. */
function removeAt(list: number[], places: Int32Array, item: number): void {
  const place = places[item]!;
  const last = list.pop()!;
  if (last !== item) {
    list[place] = last;
    places[last] = place;
  }
  places[item] = -1;
}
