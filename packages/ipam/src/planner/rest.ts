/** Where a pool comes to rest: the plan is carried out by an EC2 that answers at once, until it asks for no more. */
import { cidrOf, fromNumber, type Ipv4, type Ipv4Cidr } from '@enid/ip';
import type { InstanceSpec } from '../instance-limits.ts';
import { type Action, DECREASE_INTERVAL, MINIMUM_ENI_AGE, plan } from '../plan.ts';
import {
  addSlots,
  assign,
  countsOf,
  dropEni,
  expire,
  type HolderKey,
  type Pool,
  PREFIX_LENGTH,
  prefixSlotOf,
  putEni,
  type Slot,
  type SlotKind,
  slotOf,
  withdraw,
} from '../pool.ts';
import type { PoolSettings } from '../settings.ts';
import { attachedEni, callsFor, freshPool, type NodeShape, nodeShape } from './node-shape.ts';

/** Where ENIs and their slots come from. All of what is asked for, or undefined: EC2 gives no part. */
export interface SlotSource {
  takeEni(id: string, kind: SlotKind, count: number): readonly Slot[] | undefined;
  takeSlots(kind: SlotKind, count: number): readonly Slot[] | undefined;
  returnEni(id: string, slots: readonly Slot[]): void;
  returnSlots(slots: readonly Slot[]): void;
}

/** A pool at a time, and the calls that were made for it so far. */
export type Rest = { readonly pool: Pool; readonly now: number; readonly calls: number };

/** No node needs more steps between two changes: each ENI is attached, filled, emptied and freed once at most. */
const MOST_STEPS = 10_000;

/**
 * Lets time pass and carries out what is planned until nothing is, now or later.
 * @param waiting pods that wait for an address meanwhile.
 */
export function settle(from: Rest, shape: NodeShape, source: SlotSource, waiting = 0): Rest {
  const { settings, bounds } = shape;
  let { pool, now, calls } = from;
  let lastDecrease: number | undefined;
  for (let step = 0, idle = false; step < MOST_STEPS; step++) {
    pool = expire(pool, now);
    const actions = plan({ pool, targets: settings.targets, bounds, waiting, lastDecrease, now });
    let acted = false;
    for (const action of actions) {
      const next = carryOut(pool, shape, source, action, now);
      if (!next) continue;
      pool = next;
      acted = true;
      calls += callsFor(action, shape).length;
      if (action.kind.startsWith('unassign')) lastDecrease = now;
    }
    if (!acted && idle) return { pool, now, calls };
    idle = !acted;
    if (idle) now += Math.max(MINIMUM_ENI_AGE, DECREASE_INTERVAL, settings.cooldown) + 1;
  }
  throw new Error(`the pool does not come to rest: ${JSON.stringify(settings)} on ${JSON.stringify(bounds)}`);
}

/**
 * Gives a pod an address, which is fetched when none is free, and lets the pool come to rest again.
 * @returns undefined when none can be had.
 */
export function settlePod(
  from: Rest,
  key: HolderKey,
  shape: NodeShape,
  source: SlotSource,
): Rest | undefined {
  const give = (rest: Rest) => {
    const given = assign(rest.pool, key, {}, rest.now);
    return given && settle({ ...rest, pool: given.pool }, shape, source);
  };
  return give(from) ?? give(settle(from, shape, source, 1));
}

/** @returns the pool after the action, or undefined when EC2 has not what it asks for. */
function carryOut(
  pool: Pool,
  { settings }: NodeShape,
  source: SlotSource,
  action: Action,
  now: number,
): Pool | undefined {
  switch (action.kind) {
    case 'assign-addresses':
    case 'assign-prefixes': {
      const slots = source.takeSlots(settings.mode, action.count);
      return slots && addSlots(pool, action.eniId, slots);
    }
    case 'attach-eni': {
      const id = `${pool.enis[0]!.id}.${now}.${pool.enis.length}`;
      const slots = source.takeEni(id, settings.mode, action.count);
      return slots && putEni(pool, attachedEni(pool, id, slots, now));
    }
    case 'unassign-addresses':
    case 'unassign-prefixes': {
      const keys: readonly (Ipv4 | Ipv4Cidr)[] =
        action.kind === 'unassign-addresses' ? action.addresses : action.prefixes;
      const result = withdraw(pool, action.eniId, keys, now);
      source.returnSlots(result.withdrawn.map(slotOfKey));
      return result.pool;
    }
    case 'free-eni':
      source.returnEni(action.eniId, pool.enis.find(({ id }) => id === action.eniId)!.slots);
      return dropEni(pool, action.eniId);
  }
}

/** The slot that an address or a block names. */
export const slotOfKey = (key: Ipv4 | Ipv4Cidr): Slot =>
  key.includes('/') ? prefixSlotOf(key as Ipv4Cidr) : slotOf(key as Ipv4);

/** What a node has when it runs so many pods and its pool is at rest. */
export type RestingNode = {
  readonly pods: number;
  readonly enis: number;
  /** Addresses, or prefixes, of each ENI that may go to pods, by device number. */
  readonly perEni: readonly number[];
  /** Addresses, or prefixes, in all. */
  readonly attached: number;
  /** Addresses that no pod has. */
  readonly unused: number;
  /** Calls that the agent made for it, from the node's start on. */
  readonly ec2Calls: number;
};

/**
 * Starts a node and gives it pods one after another, its pool coming to rest before each.
 * @throws {RangeError} when the node cannot have so many pods.
 */
export function planToRest(
  type: string,
  spec: InstanceSpec,
  settings: PoolSettings,
  pods: number,
): RestingNode {
  const shape = nodeShape(type, spec, settings);
  if (pods > shape.podLimit) {
    throw new RangeError(
      `${type} takes ${shape.podLimit} pods with these settings, besides those on the host's network, and not ${pods}: ask for fewer, or for a larger type`,
    );
  }
  const source = endless();
  let rest = settle({ pool: freshPool(shape, 'eni-0'), now: 0, calls: 0 }, shape, source);
  for (let pod = 0; pod < pods; pod++) {
    const next = settlePod(rest, keyOf(pod), shape, source);
    if (!next) throw new Error(`no address can be had for pod ${pod + 1} of ${pods} on ${type}`);
    rest = next;
  }
  const { pool, now, calls } = rest;
  const perEni = pool.enis.map(({ slots }) => slots.length);
  const attached = perEni.reduce((sum, count) => sum + count, 0);
  const { total, assigned } = countsOf(pool, now);
  return { pods, enis: pool.enis.length, perEni, attached, unused: total - assigned, ec2Calls: calls };
}

/** A pod, by its number, as a pool knows it. */
export const keyOf = (pod: number): HolderKey => ({
  network: 'aws-cni',
  containerId: `${pod}`,
  ifName: 'eth0',
});

/** A subnet that never runs dry. */
function endless(): SlotSource {
  let next = 0x0a000000;
  const take = (kind: SlotKind, count: number): Slot[] =>
    Array.from({ length: count }, () => {
      next += 16;
      return kind === 'prefix'
        ? prefixSlotOf(cidrOf(fromNumber(next), PREFIX_LENGTH[4]))
        : slotOf(fromNumber(next));
    });
  return {
    takeEni: (_id, kind, count) => take(kind, count),
    takeSlots: take,
    returnEni() {},
    returnSlots() {},
  };
}
