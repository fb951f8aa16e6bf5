/**
 * The address store: which ENIs this node has, which addresses they carry, who holds each, and which rest after
 * a release.
 *
 * A pool is plain data of one address family. Each function takes a pool and the time and gives a new pool;
 * nothing here reads a clock or talks to anybody. Times are milliseconds since the epoch, durations
 * milliseconds.
 */
import {
  addressAt,
  type Cidr,
  type CidrOf,
  cidrOf,
  contains,
  covers,
  familyOf,
  type Ip,
  type Ipv4,
  addressesOf as listed,
  prefixLength,
  sizeOf,
} from '@enid/ip';

export type { CidrOf } from '@enid/ip';

/** One of the places of an ENI that EC2 fills: with one address, or with a delegated prefix. */
export type Slot<A extends Ip = Ipv4> =
  | { readonly kind: 'address'; readonly address: A }
  /** Pods may have each address of the block: of IPv6 there are too many to be listed. */
  | { readonly kind: 'prefix'; readonly cidr: CidrOf<A> };
export type SlotKind = Slot['kind'];
/** What names a slot among all of a node: its address, or its block. */
export type SlotKey<A extends Ip = Ipv4> = NoInfer<A | CidrOf<A>>;

/** The blocks that EC2 delegates, by family: a /28, and a /80 of IPv6. */
export const PREFIX_LENGTH = { 4: 28, 6: 80 } as const;

/** An ENI whose addresses go to pods. */
export type PoolEni<A extends Ip = Ipv4> = {
  readonly id: string;
  readonly deviceNumber: number;
  /** The primary ENI is never freed. */
  readonly primary: boolean;
  /** When the pool took it up. */
  readonly since: number;
  /** True while it is being given back to EC2: its addresses are not given out, nor counted. */
  readonly leaving: boolean;
  /** True for one whose addresses go to no new pod: those that pods hold stay, those that are free go back to EC2. */
  readonly draining?: boolean;
  readonly slots: readonly Slot<A>[];
};

/** Identifies a holder; the same three are the same holder. */
export type HolderKey = { readonly network: string; readonly containerId: string; readonly ifName: string };

/** What is known of a holder. */
export type HolderMetadata = { readonly [key: string]: string | undefined };

/** An address in somebody's hands. */
export type Allocation<A extends Ip = Ipv4> = {
  readonly key: HolderKey;
  readonly address: A;
  readonly since: number;
  readonly metadata: HolderMetadata;
};

export type Pool<A extends Ip = Ipv4> = {
  /** That of all its addresses. */
  readonly family: 4 | 6;
  /** What the pool is made of. Slots of the other kind are left from an earlier setting and drain. */
  readonly mode: SlotKind;
  /** How long a released address rests before it is given out again. */
  readonly cooldown: number;
  /** By device number, lowest first: the order in which they are filled. */
  readonly enis: readonly PoolEni<A>[];
  /**
   * By address. An allocation stays until its holder releases it, even when its ENI is gone: an address that
   * turns up again must not find a second holder.
   */
  readonly allocations: ReadonlyMap<A, Allocation<A>>;
  /** When each address that rests was released. */
  readonly released: ReadonlyMap<A, number>;
  /** When each address or prefix was unassigned from its ENI. Instance metadata shows it a while longer. */
  readonly unassigned: ReadonlyMap<SlotKey<A>, number>;
  /** Blocks whose addresses go to no new pod, nor back to EC2: an operator has put them aside. */
  readonly cordoned: readonly CidrOf<A>[];
};

/** Numbers of addresses: `total` is the sum of `assigned`, `cordoned`, `cooling`, `free` and `draining`. */
export type PoolCounts = {
  readonly enis: number;
  readonly total: number;
  readonly assigned: number;
  /** Held by nobody, and put aside by an operator. */
  readonly cordoned: number;
  readonly cooling: number;
  /** Could be given out now. */
  readonly free: number;
  /** Neither held nor given out any more: they go back to EC2. */
  readonly draining: number;
  /** What the warm targets are compared with: everything that is not assigned, nor cordoned, and does not drain. */
  readonly available: number;
};

/** A pool without ENIs. @param cooldown how long a released address rests. */
export function emptyPool<A extends Ip = Ipv4>(
  cooldown: number,
  mode: SlotKind = 'address',
  family: A extends Ipv4 ? 4 : 6 = 4 as A extends Ipv4 ? 4 : 6,
): Pool<A> {
  const none = { allocations: new Map(), released: new Map(), unassigned: new Map() };
  return { family, mode, cooldown, enis: [], ...none, cordoned: [] };
}

/** How many addresses a slot of the pool's kind carries. */
export const addressesPerSlot = ({ mode, family }: Pick<Pool<Ip>, 'mode' | 'family'>): number =>
  mode === 'prefix' ? 2 ** ((family === 4 ? 32 : 128) - PREFIX_LENGTH[family]) : 1;

/** The addresses that a slot carries, lowest first, made as they are asked for. */
export function* addressesIn<A extends Ip>(slot: Slot<A>): Generator<A> {
  if (slot.kind === 'prefix') yield* listed(slot.cidr);
  else yield slot.address;
}

/** How many addresses a slot carries. */
export const slotSize = <A extends Ip>(slot: Slot<A>): number =>
  slot.kind === 'prefix' ? sizeOf(slot.cidr) : 1;

/** The block of a slot's addresses. */
export const slotBlock = <A extends Ip>(slot: Slot<A>): CidrOf<A> =>
  slot.kind === 'prefix' ? slot.cidr : cidrOf(slot.address, familyOf(slot.address) === 4 ? 32 : 128);

/** The block in which an address would be delegated. */
const prefixOf = <A extends Ip>(address: A): CidrOf<A> => cidrOf(address, PREFIX_LENGTH[familyOf(address)]);

/** The slot's {@link SlotKey}. */
export function slotKey<A extends Ip>(slot: Slot<A>): SlotKey<A> {
  return slot.kind === 'prefix' ? slot.cidr : slot.address;
}

/** Every address of the ENI that may go to pods. */
export function* addressesOf<A extends Ip>(eni: PoolEni<A>): Generator<A> {
  for (const slot of eni.slots) yield* addressesIn(slot);
}

/** The ENI that carries the address. */
export function eniOf<A extends Ip>(pool: Pool<A>, address: A): PoolEni<A> | undefined {
  let prefix: CidrOf<A> | undefined;
  const carries = (slot: Slot<A>) => {
    if (slot.kind === 'address') return slot.address === address;
    prefix ??= prefixOf(address);
    return slot.cidr === prefix;
  };
  return pool.enis.find((eni) => eni.slots.some(carries));
}

/** The addresses of each map by the block in which they would be delegated: as long as the map is, since none is changed. */
const blocks = new WeakMap<ReadonlyMap<Ip, unknown>, ReadonlyMap<Cidr, Ip[]>>();

/** The keys of the map that the slot carries. */
function within<A extends Ip>(map: ReadonlyMap<A, unknown>, slot: Slot<A>): readonly A[] {
  if (slot.kind === 'address') return map.has(slot.address) ? [slot.address] : [];
  let byBlock = blocks.get(map);
  if (!byBlock) {
    byBlock = Map.groupBy<Cidr, Ip>(map.keys(), prefixOf);
    blocks.set(map, byBlock);
  }
  return (byBlock.get(slot.cidr) ?? []) as A[];
}

/** The addresses of the slot that are held. */
export function heldIn<A extends Ip>(pool: Pool<A>, slot: Slot<A>): readonly A[] {
  return within(pool.allocations, slot);
}

/** The addresses of the slot that nobody holds, and that rest. */
function restingIn<A extends Ip>(pool: Pool<A>, slot: Slot<A>, now: number): A[] {
  return within(pool.released, slot).filter(
    (address) => !pool.allocations.has(address) && coolingUntil(pool, address, now) !== undefined,
  );
}

/** How many addresses of the slot an operator has put aside. */
function cordonedSize<A extends Ip>({ cordoned }: Pool<A>, slot: Slot<A>): number {
  if (cordoned.length === 0) return 0;
  const all = slotBlock(slot);
  if (cordoned.some((block) => covers(block, all))) return slotSize(slot);
  const parts = cordoned.filter((block) => covers(all, block));
  const isPartOfOther = (block: CidrOf<A>) => parts.some((other) => other !== block && covers(other, block));
  return parts.reduce((sum, block) => sum + (isPartOfOther(block) ? 0 : sizeOf(block)), 0);
}

/** When the address may be given out again, or undefined when it does not rest. */
export function coolingUntil<A extends Ip>(pool: Pool<A>, address: A, now: number): number | undefined {
  const releasedAt = pool.released.get(address);
  const until = releasedAt === undefined ? now : releasedAt + pool.cooldown;
  return until > now ? until : undefined;
}

/** Whether an operator has put the address aside. */
export function isCordoned<A extends Ip>({ cordoned }: Pool<A>, address: A): boolean {
  return cordoned.some((block) => contains(block, address));
}

export function isFree<A extends Ip>(pool: Pool<A>, address: A, now: number): boolean {
  return isIdle(pool, address, now) && !isCordoned(pool, address);
}

const isIdle = <A extends Ip>(pool: Pool<A>, address: A, now: number): boolean =>
  !pool.allocations.has(address) && coolingUntil(pool, address, now) === undefined;

/** Whether nobody holds an address of the slot, and none of them rests or is cordoned: only then can EC2 have it back. */
export function isFreeSlot<A extends Ip>(pool: Pool<A>, slot: Slot<A>, now: number): boolean {
  return isIdleSlot(pool, slot, now) && cordonedSize(pool, slot) === 0;
}

/**
 * Whether all of the slot is cordoned, nobody holds an address of it, and none rests: then an operator may give it back. The
 * pool has long done without it.
 */
export function isPutAside<A extends Ip>(pool: Pool<A>, slot: Slot<A>, now: number): boolean {
  return isCordonedSlot(pool, slot) && isIdleSlot(pool, slot, now);
}

/** Whether an operator has put all of the slot aside. */
export function isCordonedSlot<A extends Ip>(pool: Pool<A>, slot: Slot<A>): boolean {
  return cordonedSize(pool, slot) === slotSize(slot);
}

function isIdleSlot<A extends Ip>(pool: Pool<A>, slot: Slot<A>, now: number): boolean {
  if (slot.kind === 'address') return isIdle(pool, slot.address, now);
  return heldIn(pool, slot).length === 0 && restingIn(pool, slot, now).length === 0;
}

/** Whether the pool counts on the slot: it is of the pool's kind, on an ENI that stays. Others drain. */
export function isCurrent<A extends Ip>({ mode }: Pool<A>, eni: PoolEni<A>, slot: Slot<A>): boolean {
  return slot.kind === mode && !eni.leaving && !eni.draining;
}

/**
 * The kind of slot that new pods get addresses from: the pool's own, once there is one. Until then, a node that was
 * switched from one kind to the other goes on with what it has.
 */
export function givenKind<A extends Ip>(pool: Pool<A>): SlotKind {
  if (pool.enis.some((eni) => eni.slots.some((slot) => isCurrent(pool, eni, slot)))) return pool.mode;
  return pool.mode === 'prefix' ? 'address' : 'prefix';
}

type Use = Readonly<Record<'held' | 'cordoned' | 'cooling' | 'rest', number>>;

const NONE: Use = { held: 0, cordoned: 0, cooling: 0, rest: 0 };
const HELD: Use = { ...NONE, held: 1 };
const CORDONED: Use = { ...NONE, cordoned: 1 };
const COOLING: Use = { ...NONE, cooling: 1 };
const REST: Use = { ...NONE, rest: 1 };

/** How many of the slot's addresses are held; of the others, put aside, at rest, and none of these. */
function useOf<A extends Ip>(pool: Pool<A>, slot: Slot<A>, now: number): Use {
  if (slot.kind === 'address') {
    const { address } = slot;
    if (pool.allocations.has(address)) return HELD;
    if (isCordoned(pool, address)) return CORDONED;
    return coolingUntil(pool, address, now) === undefined ? REST : COOLING;
  }
  const held = heldIn(pool, slot);
  const aside = held.filter((address) => isCordoned(pool, address)).length;
  const cordoned = cordonedSize(pool, slot) - aside;
  const cooling = restingIn(pool, slot, now).filter((address) => !isCordoned(pool, address)).length;
  const rest = slotSize(slot) - held.length - cordoned - cooling;
  return { held: held.length, cordoned, cooling, rest };
}

/** Counts over the ENIs that are not leaving. */
export function countsOf<A extends Ip>(pool: Pool<A>, now: number): PoolCounts {
  const given = givenKind(pool);
  const counts = { total: 0, assigned: 0, cordoned: 0, cooling: 0, free: 0, draining: 0, available: 0 };
  for (const eni of pool.enis) {
    if (eni.leaving) continue;
    for (const slot of eni.slots) {
      const { held, cordoned, cooling, rest } = useOf(pool, slot, now);
      counts.total += held + cordoned + cooling + rest;
      counts.assigned += held;
      counts.cordoned += cordoned;
      counts.cooling += cooling;
      if (slot.kind === given && !eni.draining) counts.free += rest;
      else counts.draining += rest;
      if (isCurrent(pool, eni, slot)) counts.available += cooling + rest;
    }
  }
  return { enis: pool.enis.length, ...counts };
}

/** The allocation of this holder. */
export function allocationOf<A extends Ip>(pool: Pool<A>, key: HolderKey): Allocation<A> | undefined {
  return pool.allocations
    .values()
    .find(
      ({ key: other }) =>
        other.containerId === key.containerId && other.ifName === key.ifName && other.network === key.network,
    );
}

/**
 * Gives the holder an address, from the lowest device number that has one, and there from the fullest prefix, so
 * that others empty out. A holder keeps the address that it has, unless that has vanished from the node's ENIs: then
 * it gets another.
 * @returns undefined when no address is free.
 */
export function assign<A extends Ip>(
  pool: Pool<A>,
  key: HolderKey,
  metadata: HolderMetadata,
  now: number,
): { pool: Pool<A>; allocation: Allocation<A> } | undefined {
  const held = allocationOf(pool, key);
  if (held && eniOf(pool, held.address)) return { pool, allocation: held };
  const address = nextAddress(pool, now);
  if (address === undefined) return undefined;
  const allocation = { key, address, since: now, metadata };
  const allocations = new Map(pool.allocations).set(address, allocation);
  if (held) allocations.delete(held.address);
  const released = new Map(pool.released);
  released.delete(address);
  return { pool: { ...pool, allocations, released }, allocation };
}

function nextAddress<A extends Ip>(pool: Pool<A>, now: number): A | undefined {
  const kind = givenKind(pool);
  for (const { leaving, draining, slots } of pool.enis) {
    if (leaving || draining) continue;
    let best: { readonly address: A; readonly held: number } | undefined;
    for (const slot of slots) {
      if (slot.kind !== kind) continue;
      const address = firstFree(pool, slot, now);
      if (address === undefined) continue;
      if (slot.kind === 'address') return address;
      const held = heldIn(pool, slot).length;
      if (!best || held > best.held) best = { address, held };
    }
    if (best) return best.address;
  }
  return undefined;
}

/** The lowest address of the slot that is free. */
function firstFree<A extends Ip>(pool: Pool<A>, slot: Slot<A>, now: number): A | undefined {
  if (slot.kind === 'address') return isFree(pool, slot.address, now) ? slot.address : undefined;
  for (let offset = 0; offset < sizeOf(slot.cidr); ) {
    const address = addressAt(slot.cidr, offset);
    const block = pool.cordoned.find((each) => contains(each, address));
    if (!block && isIdle(pool, address, now)) return address;
    // Over all of a block, which begins at a multiple of its size.
    offset += block ? sizeOf(block) - (offset % sizeOf(block)) : 1;
  }
  return undefined;
}

/** Takes the holder's address back; it rests from now on. Nothing happens when the holder has none. */
export function release<A extends Ip>(
  pool: Pool<A>,
  key: HolderKey,
  now: number,
): { pool: Pool<A>; allocation?: Allocation<A> } {
  const allocation = allocationOf(pool, key);
  if (!allocation) return { pool };
  const allocations = new Map(pool.allocations);
  allocations.delete(allocation.address);
  const released = new Map(pool.released).set(allocation.address, now);
  return { pool: { ...pool, allocations, released }, allocation };
}

/**
 * Undoes an {@link assign} or a {@link release} that could not be written down: the address is as `before` again.
 * @param before what held the address, or undefined when it was free.
 */
export function revert<A extends Ip>(pool: Pool<A>, address: A, before: Allocation<A> | undefined): Pool<A> {
  const allocations = new Map(pool.allocations);
  const released = new Map(pool.released);
  if (before) {
    allocations.set(address, before);
    released.delete(address);
  } else {
    allocations.delete(address);
  }
  return { ...pool, allocations, released };
}

/** Puts allocations and releases of an earlier run back. */
export function restore<A extends Ip>(
  pool: Pool<A>,
  allocations: Iterable<Allocation<A>>,
  released: Iterable<readonly [A, number]>,
  cordoned: readonly CidrOf<A>[] = [],
): Pool<A> {
  return {
    ...pool,
    allocations: new Map([...allocations].map((allocation) => [allocation.address, allocation])),
    released: new Map(released),
    cordoned,
  };
}

/** Puts the addresses of a block aside: they go to no new pod. Those that are held stay with their holders. */
export function cordon<A extends Ip>(pool: Pool<A>, block: CidrOf<A>): Pool<A> {
  return pool.cordoned.includes(block) ? pool : { ...pool, cordoned: [...pool.cordoned, block] };
}

/** Lets the addresses of cordoned blocks be given out again: of those that lie within this one. */
export function uncordon<A extends Ip>(pool: Pool<A>, block: CidrOf<A>): Pool<A> {
  return { ...pool, cordoned: pool.cordoned.filter((other) => !covers(block, other)) };
}

/** Takes up an ENI, or replaces what was known of it. */
export function putEni<A extends Ip>(pool: Pool<A>, eni: PoolEni<A>): Pool<A> {
  const others = pool.enis.filter(({ id }) => id !== eni.id);
  return { ...pool, enis: [...others, eni].sort((a, b) => a.deviceNumber - b.deviceNumber) };
}

/** Drops an ENI that the node does not have any more. Allocations on it stay, see {@link Pool.allocations}. */
export function dropEni<A extends Ip>(pool: Pool<A>, id: string): Pool<A> {
  return { ...pool, enis: pool.enis.filter((eni) => eni.id !== id) };
}

/** Marks an ENI as leaving, or as staying after all. */
export function markLeaving<A extends Ip>(pool: Pool<A>, id: string, leaving: boolean): Pool<A> {
  return mapEni(pool, id, (eni) => ({ ...eni, leaving }));
}

/** Adds what EC2 has just assigned to the ENI. */
export function addSlots<A extends Ip>(pool: Pool<A>, id: string, slots: readonly Slot<A>[]): Pool<A> {
  const unassigned = new Map(pool.unassigned);
  for (const slot of slots) unassigned.delete(slotKey(slot));
  return mapEni({ ...pool, unassigned }, id, (eni) => {
    const known = new Set(eni.slots.map(slotKey));
    return { ...eni, slots: [...eni.slots, ...slots.filter((slot) => !known.has(slotKey(slot)))] };
  });
}

/** {@link addSlots} of single addresses. */
export function addAddresses<A extends Ip>(pool: Pool<A>, id: string, addresses: readonly A[]): Pool<A> {
  return addSlots(pool, id, addresses.map(slotOf));
}

/**
 * Takes slots off the ENI before EC2 is asked to unassign them, so that nobody gets an address of them meanwhile.
 * @param keys addresses and blocks.
 * @param mayGo which of them do; others, of which an address is assigned or rests, stay.
 * @returns the pool and what may be unassigned.
 */
export function withdraw<A extends Ip>(
  pool: Pool<A>,
  id: string,
  keys: readonly SlotKey<A>[],
  now: number,
  mayGo: typeof isFreeSlot<A> = isFreeSlot,
): { pool: Pool<A>; withdrawn: SlotKey<A>[] } {
  const eni = pool.enis.find((candidate) => candidate.id === id);
  const slots = new Map(eni?.slots.map((slot) => [slotKey(slot), slot]));
  const withdrawn = keys.filter((key) => {
    const slot = slots.get(key);
    return slot !== undefined && mayGo(pool, slot, now);
  });
  const gone = new Set(withdrawn);
  const unassigned = new Map(pool.unassigned);
  for (const key of withdrawn) unassigned.set(key, now);
  return {
    pool: mapEni({ ...pool, unassigned }, id, (known) =>
      withSlots(known, (slot) => !gone.has(slotKey(slot))),
    ),
    withdrawn,
  };
}

/** Forgets rests that are over, and what was unassigned so long ago that metadata has forgotten it, too. */
export function expire<A extends Ip>(pool: Pool<A>, now: number): Pool<A> {
  const young = <K>(map: ReadonlyMap<K, number>, age: number) =>
    map.values().some((time) => time + age <= now)
      ? new Map(map.entries().filter(([, time]) => time + age > now))
      : map;
  const released = young(pool.released, pool.cooldown);
  const unassigned = young(pool.unassigned, METADATA_LAG);
  const same = released === pool.released && unassigned === pool.unassigned;
  return same ? pool : { ...pool, released, unassigned };
}

/** How long instance metadata may show what is not true any more. */
export const METADATA_LAG = 60_000;

/** A slot that carries one secondary address. */
export function slotOf<A extends Ip>(address: A): Slot<A> {
  return { kind: 'address', address };
}

/** A slot that carries a delegated prefix. */
export function prefixSlotOf<A extends Ip>(cidr: CidrOf<A>): Slot<A> {
  const length = PREFIX_LENGTH[familyOf(cidr)];
  if (prefixLength(cidr) !== length)
    throw new RangeError(`${cidr} is no prefix that EC2 delegates: those are /${length}`);
  return { kind: 'prefix', cidr };
}

/** The slots of an ENI as EC2 and metadata show them. */
export function slotsOf<A extends Ip = Ipv4>(carrier: {
  readonly addresses: readonly A[];
  readonly prefixes: readonly CidrOf<A>[];
}): Slot<A>[] {
  return [...carrier.addresses.map(slotOf<A>), ...carrier.prefixes.map(prefixSlotOf<A>)];
}

/** The ENI with only the slots to be kept. */
export function withSlots<A extends Ip>(eni: PoolEni<A>, keep: (slot: Slot<A>) => boolean): PoolEni<A> {
  return { ...eni, slots: eni.slots.filter(keep) };
}

function mapEni<A extends Ip>(pool: Pool<A>, id: string, change: (eni: PoolEni<A>) => PoolEni<A>): Pool<A> {
  return { ...pool, enis: pool.enis.map((eni) => (eni.id === id ? change(eni) : eni)) };
}
