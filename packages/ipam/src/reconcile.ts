import type { Ip, Ipv4 } from '@enid/ip';
import { dropEni, eniOf, expire, type Pool, putEni, type Slot, slotKey, withSlots } from './pool.ts';

/** An ENI as metadata or EC2 shows it. */
export type ObservedEni<A extends Ip = Ipv4> = {
  readonly id: string;
  /** Its own address is not among them. */
  readonly slots: readonly Slot<A>[];
};

/** What an observation changed. */
export type Reconciliation<A extends Ip = Ipv4> = {
  readonly pool: Pool<A>;
  /** ENIs that the pool does not have: the caller brings them up, then puts them in. */
  readonly appeared: readonly string[];
  /** ENIs that were dropped. */
  readonly vanished: readonly string[];
  /** Addresses that were held and are on no ENI any more: their pods are cut off. */
  readonly lost: readonly A[];
  /** Addresses and prefixes that were added to, or taken from, ENIs that stay. */
  readonly changed: number;
};

/**
 * Makes the pool agree with what is really attached to the node.
 *
 * What the pool has just unassigned is not believed to be back while metadata may lag: see
 * {@link METADATA_LAG}. ENIs that are leaving are left alone.
 */
export function reconcile<A extends Ip>(
  before: Pool<A>,
  observed: readonly ObservedEni<A>[],
  now: number,
): Reconciliation<A> {
  let pool = expire(before, now);
  const vanished: string[] = [];
  let changed = 0;
  for (const eni of pool.enis.filter(({ leaving }) => !leaving)) {
    const found = observed.find(({ id }) => id === eni.id);
    if (!found) {
      vanished.push(eni.id);
      pool = dropEni(pool, eni.id);
      continue;
    }
    const seen = new Set(found.slots.map(slotKey));
    const known = new Set(eni.slots.map(slotKey));
    const kept = withSlots(eni, (slot) => seen.has(slotKey(slot)));
    const added = found.slots.filter(
      (slot) => !known.has(slotKey(slot)) && !pool.unassigned.has(slotKey(slot)),
    );
    const removed = eni.slots.length - kept.slots.length;
    if (added.length + removed === 0) continue;
    changed += added.length + removed;
    pool = putEni(pool, { ...kept, slots: [...kept.slots, ...added] });
  }
  const knownIds = new Set(before.enis.map(({ id }) => id));
  return {
    pool,
    appeared: observed.map(({ id }) => id).filter((id) => !knownIds.has(id)),
    vanished,
    lost: [...before.allocations.keys()].filter((address) => eniOf(before, address) && !eniOf(pool, address)),
    changed,
  };
}
