/**
 * What the pool needs of EC2 next. The arithmetic is Amazon's (`WARM_ENI_TARGET`, `WARM_IP_TARGET`,
 * `MINIMUM_IP_TARGET`, `WARM_PREFIX_TARGET`), so that a node that changes over keeps the numbers that its owner
 * planned with.
 */
import type { Ip, Ipv4 } from '@enid/ip';
import {
  addressesPerSlot,
  type CidrOf,
  countsOf,
  isCurrent,
  isFreeSlot,
  type Pool,
  type PoolCounts,
  type PoolEni,
  type Slot,
  slotSize,
} from './pool.ts';

/** How large a pool is wanted. */
export type Targets = {
  /** ENIs' worth of addresses to keep available. Not regarded once one of the IP targets is above 0. */
  readonly warmEnis: number;
  /** Addresses to keep available. */
  readonly warmIps: number;
  /** Addresses to have in all. */
  readonly minimumIps: number;
  /** With prefixes, in place of `warmEnis`: prefixes' worth of addresses to keep available, 1 by default. */
  readonly warmPrefixes?: number;
};

/** How large the pool may get. */
export type Bounds = {
  /** ENIs that the node may have, the primary one included. */
  readonly enis: number;
  /** Slots of an ENI: its IPv4 addresses less its own. */
  readonly slotsPerEni: number;
  /** Pods that the node takes: with so many addresses it has enough. Not regarded when absent. */
  readonly maxPods?: number;
};

/** A call for EC2. What is to be unassigned is named; what is to be assigned is EC2's to choose. */
export type Action<A extends Ip = Ipv4> =
  | { readonly kind: 'assign-addresses' | 'assign-prefixes'; readonly eniId: string; readonly count: number }
  /** @prop count slots of the pool's kind to come with the ENI. */
  | { readonly kind: 'attach-eni'; readonly count: number }
  | { readonly kind: 'unassign-addresses'; readonly eniId: string; readonly addresses: readonly A[] }
  | { readonly kind: 'unassign-prefixes'; readonly eniId: string; readonly prefixes: readonly CidrOf<A>[] }
  | { readonly kind: 'free-eni'; readonly eniId: string };

/** The least time between two decreases of the pool. */
export const DECREASE_INTERVAL = 30_000;

/** An ENI younger than this is not freed. */
export const MINIMUM_ENI_AGE = 60_000;

export type PlanInput<A extends Ip = Ipv4> = {
  readonly pool: Pool<A>;
  readonly targets: Targets;
  readonly bounds: Bounds;
  /** Pods that wait for an address at this moment. */
  readonly waiting: number;
  /** When the pool was last decreased, or undefined. */
  readonly lastDecrease?: number | undefined;
  readonly now: number;
};

/**
 * The actions that bring the pool closer to its target; none when it is there, or can come no closer.
 *
 * A pool that is low grows: free slots of the ENIs it has are filled first, then slots that drain make room, then an
 * ENI is attached. A pool that is high gives slots back, at most every {@link DECREASE_INTERVAL}; so do slots that
 * drain. An ENI that nothing needs is freed, one at a time. Beyond Amazon's arithmetic, pods that wait make a pool
 * low as well: else a node whose available addresses all rest would refuse pods although it could attach an ENI.
 */
export function plan<A extends Ip>(input: PlanInput<A>): Action<A>[] {
  const { pool, now, lastDecrease } = input;
  const state = stateOf(input);
  if (state.short > 0) {
    const action = increase(input, state.short);
    return action ? [action] : [];
  }
  const surplus = surplusEni(input, state);
  if (surplus) return [{ kind: 'free-eni', eniId: surplus.id }];
  const due = lastDecrease === undefined || now - lastDecrease > DECREASE_INTERVAL;
  return due
    ? giveBack(pool, (eni, slot) => !isCurrent(pool, eni, slot), Infinity, now).concat(decrease(input, state))
    : [];
}

/** Whether an action of {@link plan} could still make the pool larger. */
export function canGrow<A extends Ip>({
  pool,
  bounds,
  now,
}: Pick<PlanInput<A>, 'pool' | 'bounds' | 'now'>): boolean {
  // An ENI that leaves makes place for another.
  if (pool.enis.filter(({ leaving }) => !leaving).length < bounds.enis) return true;
  if (pool.enis.some((eni) => hasRoom(eni, bounds))) return true;
  return roomToMake(pool, 1, now).length > 0 || drainedEni(pool, now) !== undefined;
}

type State = {
  readonly counts: PoolCounts;
  /** Slots that are missing. */
  readonly short: number;
  /** Slots beyond the target that could go, as far as it is counted in slots. */
  readonly over: number;
};

function stateOf<A extends Ip>({ pool, targets, bounds, waiting, now }: PlanInput<A>): State {
  const counts = countsOf(pool, now);
  const { available, assigned, free } = counts;
  const size = addressesPerSlot(pool);
  const inSlots = (addresses: number) => Math.ceil(Math.max(addresses, 0) / size);
  const unmet = inSlots(waiting - free);
  const current = currentSlots(pool);
  const freeSlots = current.filter((slot) => isFreeSlot(pool, slot, now)).length;
  const total = available + assigned;
  const enough = bounds.maxPods !== undefined && total >= bounds.maxPods;
  const short = (slots: number) => (enough ? unmet : Math.max(slots, unmet));

  if (hasIpTargets(targets)) {
    const missing = inSlots(Math.max(targets.warmIps - available, targets.minimumIps - total));
    const held = current.length * size - available;
    // What pods wait for is not too much, in the moment before they have it.
    const warm = Math.max(targets.warmIps, waiting);
    const needed = Math.max(inSlots(held + warm), inSlots(targets.minimumIps - (assigned - held)));
    return { counts, short: short(missing), over: Math.max(Math.min(freeSlots, current.length - needed), 0) };
  }
  const low = available < warmAddresses(pool, targets, bounds);
  if (pool.mode === 'address') {
    const missing = low || unmet > 0 ? bounds.slotsPerEni : 0;
    return { counts, short: enough && unmet === 0 ? 0 : missing, over: 0 };
  }
  const warm = warmPrefixesOf(targets);
  return {
    counts,
    short: short(low ? Math.max(warm - freeSlots, 1) : 0),
    over: Math.max(freeSlots - warm, 0),
  };
}

const warmPrefixesOf = ({ warmPrefixes = 1 }: Targets): number => warmPrefixes;

/** What to keep available without IP targets: ENIs' or prefixes' worth; with a target of none, one address all the same. */
function warmAddresses<A extends Ip>(pool: Pool<A>, targets: Targets, { slotsPerEni }: Bounds): number {
  const slots = pool.mode === 'prefix' ? warmPrefixesOf(targets) : targets.warmEnis * slotsPerEni;
  const warm = slots * addressesPerSlot(pool);
  return Math.max(warm, 1);
}

const hasIpTargets = ({ warmIps, minimumIps }: Targets): boolean => warmIps > 0 || minimumIps > 0;

const hasRoom = (eni: PoolEni<Ip>, { slotsPerEni }: Bounds): boolean =>
  !eni.leaving && !eni.draining && eni.slots.length < slotsPerEni;

const currentSlots = <A extends Ip>(pool: Pool<A>): Slot<A>[] =>
  pool.enis.flatMap((eni) => eni.slots.filter((slot) => isCurrent(pool, eni, slot)));

function increase<A extends Ip>({ pool, bounds, now }: PlanInput<A>, short: number): Action<A> | undefined {
  const count = Math.min(short, bounds.slotsPerEni);
  const eni = pool.enis.find((candidate) => hasRoom(candidate, bounds));
  if (eni) {
    const room = bounds.slotsPerEni - eni.slots.length;
    const kind = pool.mode === 'prefix' ? 'assign-prefixes' : 'assign-addresses';
    return { kind, eniId: eni.id, count: Math.min(room, count) };
  }
  const [cleared] = roomToMake(pool, count, now);
  if (cleared) return cleared;
  if (pool.enis.length < bounds.enis) return { kind: 'attach-eni', count };
  const drained = drainedEni(pool, now);
  return drained && { kind: 'free-eni', eniId: drained.id };
}

/** An ENI that drains, has nothing in use any more, and stands where another could. */
const drainedEni = <A extends Ip>(pool: Pool<A>, now: number): PoolEni<A> | undefined =>
  pool.enis.findLast(
    (eni) =>
      eni.draining && !eni.primary && !eni.leaving && eni.slots.every((slot) => isFreeSlot(pool, slot, now)),
  );

/** Slots that drain and stand where the pool's own could: on the lowest device number, which is filled first. */
function roomToMake<A extends Ip>(pool: Pool<A>, count: number, now: number): Action<A>[] {
  const drains = (eni: PoolEni<A>, slot: Slot<A>) => !eni.draining && slot.kind !== pool.mode;
  return giveBack({ ...pool, enis: pool.enis.toReversed() }, drains, count, now);
}

/** Free slots of the highest device numbers, which fill last. */
const decrease = <A extends Ip>({ pool, now }: PlanInput<A>, { over }: State): Action<A>[] =>
  giveBack(pool, (eni, slot) => isCurrent(pool, eni, slot), over, now);

/** Unassigns so many free slots at most, those of the last ENIs first. */
function giveBack<A extends Ip>(
  pool: Pool<A>,
  which: (eni: PoolEni<A>, slot: Slot<A>) => boolean,
  most: number,
  now: number,
): Action<A>[] {
  const actions: Action<A>[] = [];
  let left = most;
  for (const eni of pool.enis.toReversed()) {
    if (eni.leaving || left === 0) continue;
    const free = eni.slots.filter((slot) => which(eni, slot) && isFreeSlot(pool, slot, now));
    const slots = free.slice(-left);
    left -= slots.length;
    const addresses = slots.flatMap((slot) => (slot.kind === 'address' ? [slot.address] : []));
    const prefixes = slots.flatMap((slot) => (slot.kind === 'prefix' ? [slot.cidr] : []));
    const eniId = eni.id;
    if (addresses.length > 0) actions.push({ kind: 'unassign-addresses', eniId, addresses });
    if (prefixes.length > 0) actions.push({ kind: 'unassign-prefixes', eniId, prefixes });
  }
  return actions;
}

/** The ENI that may go: nothing on it is held or rests, and the others satisfy the target without it. */
function surplusEni<A extends Ip>(
  { pool, targets, bounds, waiting, now }: PlanInput<A>,
  { counts }: State,
): PoolEni<A> | undefined {
  const byIps = hasIpTargets(targets);
  const warm = Math.max(byIps ? targets.warmIps : warmAddresses(pool, targets, bounds), waiting);
  const byEnis = !byIps && pool.mode === 'address';
  const plenty = !byEnis || counts.available >= (targets.warmEnis + 1) * bounds.slotsPerEni;
  return pool.enis.findLast((eni) => {
    if (eni.primary || eni.leaving || now - eni.since < MINIMUM_ENI_AGE) return false;
    if (!eni.slots.every((slot) => isFreeSlot(pool, slot, now))) return false;
    const counted = eni.slots
      .filter((slot) => isCurrent(pool, eni, slot))
      .reduce((sum, slot) => sum + slotSize(slot), 0);
    if (counted > 0 && !plenty) return false;
    const { available, assigned } = counts;
    return (
      // Else it would be attached again at once.
      available - counted >= warm && available + assigned - counted >= targets.minimumIps
    );
  });
}
