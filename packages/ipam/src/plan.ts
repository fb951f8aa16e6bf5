/**
 * What the pool needs of EC2 next. The arithmetic is Amazon's (`WARM_ENI_TARGET`, `WARM_IP_TARGET`,
 * `MINIMUM_IP_TARGET`), so that a node that changes over keeps the numbers that its owner planned with.
 */
import type { Ip, Ipv4 } from '@enid/ip';
import { addressesOf, countsOf, isFree, type Pool, type PoolCounts, type PoolEni } from './pool.ts';

/** How large a pool is wanted. */
export type Targets = {
  /** ENIs' worth of addresses to keep available. Not regarded once one of the other two is above 0. */
  readonly warmEnis: number;
  /** Addresses to keep available. */
  readonly warmIps: number;
  /** Addresses to have in all. */
  readonly minimumIps: number;
};

/** How large the pool may get. */
export type Bounds = {
  /** ENIs that may carry pods, the primary one included. */
  readonly enis: number;
  /** Slots of an ENI: its IPv4 addresses less its own. */
  readonly slotsPerEni: number;
};

/** A call for EC2. Addresses to unassign are named; those to assign are EC2's to choose. */
export type Action<A extends Ip = Ipv4> =
  | { readonly kind: 'assign-addresses'; readonly eniId: string; readonly count: number }
  | { readonly kind: 'attach-eni'; readonly count: number }
  | { readonly kind: 'unassign-addresses'; readonly eniId: string; readonly addresses: readonly A[] }
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
 * A pool that is low grows: free slots of the ENIs it has are filled first, then an ENI is attached. A pool that is
 * high (only with IP targets) gives back addresses, at most every {@link DECREASE_INTERVAL}. An ENI that nothing
 * needs is freed, one at a time. Beyond Amazon's arithmetic, pods that wait make a pool low as well: else a node
 * whose available addresses all rest would refuse pods although it could attach an ENI.
 */
export function plan<A extends Ip>(input: PlanInput<A>): Action<A>[] {
  const { pool, now, lastDecrease } = input;
  const state = stateOf(input);
  if (state.low) {
    const action = increase(input, state);
    return action ? [action] : [];
  }
  const due = lastDecrease === undefined || now - lastDecrease > DECREASE_INTERVAL;
  const unassign = due ? decrease(pool, state.over, now) : [];
  const surplus = surplusEni(input, state.counts);
  const kept = unassign.filter((action) => action.eniId !== surplus?.id);
  return surplus ? [...kept, { kind: 'free-eni', eniId: surplus.id }] : kept;
}

/** Whether an action of {@link plan} could still make the pool larger. */
export function canGrow<A extends Ip>({ pool, bounds }: Pick<PlanInput<A>, 'pool' | 'bounds'>): boolean {
  return pool.enis.length < bounds.enis || pool.enis.some((eni) => hasRoom(eni, bounds));
}

type State = {
  readonly counts: PoolCounts;
  readonly low: boolean;
  /** Addresses that are missing; without IP targets an ENI's worth. */
  readonly short: number;
  /** Addresses beyond the IP targets. */
  readonly over: number;
};

function stateOf<A extends Ip>({ pool, targets, bounds, waiting, now }: PlanInput<A>): State {
  const counts = countsOf(pool, now);
  const unmet = Math.max(waiting - counts.free, 0);
  if (!hasIpTargets(targets)) {
    const low = counts.available < warmAddresses(targets, bounds) || unmet > 0;
    return { counts, low, short: bounds.slotsPerEni, over: 0 };
  }
  const short = Math.max(targets.warmIps - counts.available, targets.minimumIps - counts.total, unmet, 0);
  const over = Math.max(Math.min(counts.available - targets.warmIps, counts.total - targets.minimumIps), 0);
  return { counts, low: short > 0, short, over };
}

/** What to keep available without IP targets: ENIs' worth; with a target of none, one address all the same. */
const warmAddresses = ({ warmEnis }: Targets, { slotsPerEni }: Bounds): number =>
  Math.max(warmEnis * slotsPerEni, 1);

const hasIpTargets = ({ warmIps, minimumIps }: Targets): boolean => warmIps > 0 || minimumIps > 0;

const hasRoom = (eni: PoolEni<Ip>, { slotsPerEni }: Bounds): boolean =>
  !eni.leaving && eni.slots.length < slotsPerEni;

function increase<A extends Ip>({ pool, bounds }: PlanInput<A>, { short }: State): Action<A> | undefined {
  const count = Math.min(short, bounds.slotsPerEni);
  const eni = pool.enis.find((candidate) => hasRoom(candidate, bounds));
  if (eni) {
    const room = bounds.slotsPerEni - eni.slots.length;
    return { kind: 'assign-addresses', eniId: eni.id, count: Math.min(room, count) };
  }
  return pool.enis.length < bounds.enis ? { kind: 'attach-eni', count } : undefined;
}

/** Free addresses of the highest device numbers, which fill last. */
function decrease<A extends Ip>(pool: Pool<A>, over: number, now: number): (Action<A> & { eniId: string })[] {
  const actions: (Action<A> & { eniId: string })[] = [];
  let left = over;
  for (const eni of pool.enis.toReversed()) {
    if (eni.leaving || left === 0) continue;
    const free = [...addressesOf(eni)].filter((address) => isFree(pool, address, now));
    const addresses = free.slice(-left);
    left -= addresses.length;
    if (addresses.length > 0) actions.push({ kind: 'unassign-addresses', eniId: eni.id, addresses });
  }
  return actions;
}

/** The ENI that may go: nothing on it is held or rests, and the others satisfy the target without it. */
function surplusEni<A extends Ip>(
  { pool, targets, bounds, now }: PlanInput<A>,
  counts: PoolCounts,
): PoolEni<A> | undefined {
  const byIps = hasIpTargets(targets);
  if (!byIps && counts.available < (targets.warmEnis + 1) * bounds.slotsPerEni) return undefined;
  const warm = byIps ? targets.warmIps : warmAddresses(targets, bounds);
  return pool.enis.findLast((eni) => {
    if (eni.primary || eni.leaving || now - eni.since < MINIMUM_ENI_AGE) return false;
    const addresses = [...addressesOf(eni)];
    if (!addresses.every((address) => isFree(pool, address, now))) return false;
    return (
      // Else it would be attached again at once.
      counts.available - addresses.length >= warm && counts.total - addresses.length >= targets.minimumIps
    );
  });
}
