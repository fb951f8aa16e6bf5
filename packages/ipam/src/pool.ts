/**
 * The address store: which ENIs this node has, which addresses they carry, who holds each, and which rest after
 * a release.
 *
 * A pool is plain data of one address family. Each function takes a pool and the time and gives a new pool;
 * nothing here reads a clock or talks to anybody. Times are milliseconds since the epoch, durations
 * milliseconds.
 */
import type { Ip, Ipv4 } from '@enid/ip';

/** One of the places of an ENI that EC2 fills: each holds an address. */
export type Slot<A extends Ip = Ipv4> = { readonly kind: 'address'; readonly address: A };

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
  /** When each address was unassigned from its ENI. Instance metadata shows it a while longer. */
  readonly unassigned: ReadonlyMap<A, number>;
};

/** Numbers of addresses. `available` is what the warm targets are compared with: everything not assigned. */
export type PoolCounts = {
  readonly enis: number;
  readonly total: number;
  readonly assigned: number;
  readonly cooling: number;
  /** Could be given out now. */
  readonly free: number;
  readonly available: number;
};

/** A pool without ENIs. @param cooldown how long a released address rests. */
export function emptyPool<A extends Ip = Ipv4>(cooldown: number): Pool<A> {
  return { cooldown, enis: [], allocations: new Map(), released: new Map(), unassigned: new Map() };
}

/** The addresses that a slot carries. */
export function* addressesIn<A extends Ip>(slot: Slot<A>): Generator<A> {
  yield slot.address;
}

/** Every address of the ENI that may go to pods. */
export function* addressesOf<A extends Ip>(eni: PoolEni<A>): Generator<A> {
  for (const slot of eni.slots) yield* addressesIn(slot);
}

/** The ENI that carries the address. */
export function eniOf<A extends Ip>(pool: Pool<A>, address: A): PoolEni<A> | undefined {
  return pool.enis.find((eni) => addressesOf(eni).some((other) => other === address));
}

/** When the address may be given out again, or undefined when it does not rest. */
export function coolingUntil<A extends Ip>(pool: Pool<A>, address: A, now: number): number | undefined {
  const releasedAt = pool.released.get(address);
  const until = releasedAt === undefined ? now : releasedAt + pool.cooldown;
  return until > now ? until : undefined;
}

export function isFree<A extends Ip>(pool: Pool<A>, address: A, now: number): boolean {
  return !pool.allocations.has(address) && coolingUntil(pool, address, now) === undefined;
}

/** Counts over the ENIs that are not leaving. */
export function countsOf<A extends Ip>(pool: Pool<A>, now: number): PoolCounts {
  const enis = pool.enis.filter((eni) => !eni.leaving);
  let [total, assigned, cooling] = [0, 0, 0];
  for (const address of enis.flatMap((eni) => [...addressesOf(eni)])) {
    total++;
    if (pool.allocations.has(address)) assigned++;
    else if (coolingUntil(pool, address, now) !== undefined) cooling++;
  }
  const available = total - assigned;
  return { enis: pool.enis.length, total, assigned, cooling, free: available - cooling, available };
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
 * Gives the holder an address, from the lowest device number that has one. A holder keeps the address that it
 * has, unless that has vanished from the node's ENIs: then it gets another.
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
  const address = pool.enis
    .values()
    .filter((eni) => !eni.leaving)
    .flatMap(addressesOf)
    .find((candidate) => isFree(pool, candidate, now));
  if (address === undefined) return undefined;
  const allocation = { key, address, since: now, metadata };
  const allocations = new Map(pool.allocations).set(address, allocation);
  if (held) allocations.delete(held.address);
  const released = new Map(pool.released);
  released.delete(address);
  return { pool: { ...pool, allocations, released }, allocation };
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
): Pool<A> {
  return {
    ...pool,
    allocations: new Map([...allocations].map((allocation) => [allocation.address, allocation])),
    released: new Map(released),
  };
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

/** Adds addresses that EC2 has just assigned to the ENI. */
export function addAddresses<A extends Ip>(pool: Pool<A>, id: string, addresses: readonly A[]): Pool<A> {
  const unassigned = new Map(pool.unassigned);
  for (const address of addresses) unassigned.delete(address);
  return mapEni({ ...pool, unassigned }, id, (eni) => {
    const known = new Set(addressesOf(eni));
    const added = addresses.filter((address) => !known.has(address));
    return { ...eni, slots: [...eni.slots, ...added.map(slotOf)] };
  });
}

/**
 * Takes addresses off the ENI before EC2 is asked to unassign them, so that nobody gets one meanwhile. Those that
 * are assigned or rest stay.
 * @returns the pool and the addresses that may be unassigned.
 */
export function withdraw<A extends Ip>(
  pool: Pool<A>,
  id: string,
  addresses: readonly A[],
  now: number,
): { pool: Pool<A>; withdrawn: A[] } {
  const eni = pool.enis.find((candidate) => candidate.id === id);
  const carried = new Set(eni && addressesOf(eni));
  const withdrawn = addresses.filter((address) => carried.has(address) && isFree(pool, address, now));
  const gone = new Set(withdrawn);
  const unassigned = new Map(pool.unassigned);
  for (const address of withdrawn) unassigned.set(address, now);
  return {
    pool: mapEni({ ...pool, unassigned }, id, (known) => withSlots(known, (address) => !gone.has(address))),
    withdrawn,
  };
}

/** Forgets rests that are over, and unassigned addresses that metadata has forgotten by now. */
export function expire<A extends Ip>(pool: Pool<A>, now: number): Pool<A> {
  const young = (map: ReadonlyMap<A, number>, age: number) =>
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

/** The ENI with only the slots whose addresses are all to be kept. */
export function withSlots<A extends Ip>(eni: PoolEni<A>, keep: (address: A) => boolean): PoolEni<A> {
  return { ...eni, slots: eni.slots.filter((slot) => addressesIn(slot).every(keep)) };
}

function mapEni<A extends Ip>(pool: Pool<A>, id: string, change: (eni: PoolEni<A>) => PoolEni<A>): Pool<A> {
  return { ...pool, enis: pool.enis.map((eni) => (eni.id === id ? change(eni) : eni)) };
}
