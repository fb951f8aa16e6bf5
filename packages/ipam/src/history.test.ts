/**
 * Random histories: pods come and go, time passes, EC2 does what the plan says, fails, or is changed by somebody
 * else. After every step the properties must hold that pods depend on.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cidrOf, fromNumber, type Ipv4 } from '@enid/ip';
import fc from 'fast-check';
import { type Action, type Bounds, MINIMUM_ENI_AGE, plan, type Targets } from './plan.ts';
import {
  addressesIn,
  addressesOf,
  addSlots,
  assign,
  countsOf,
  dropEni,
  emptyPool,
  eniOf,
  expire,
  type HolderKey,
  isFreeSlot,
  type Pool,
  prefixSlotOf,
  putEni,
  release,
  type Slot,
  type SlotKind,
  slotKey,
  slotOf,
  withdraw,
} from './pool.ts';
import { reconcile } from './reconcile.ts';

const COOLDOWN = 30_000;
const keyOf = (pod: number): HolderKey => ({ network: 'aws-cni', containerId: `c${pod}`, ifName: 'eth0' });

/** EC2 and a node: real ENIs with real addresses, and a pool that follows them. */
class World {
  now = 1_000_000;
  pool: Pool;
  lastDecrease: number | undefined;
  /** What is really attached, and what it carries. */
  readonly attached = new Map<string, Slot[]>([['eni-0', []]]);
  readonly releasedAt = new Map<Ipv4, number>();
  readonly holders = new Map<number, Ipv4>();
  readonly targets: Targets;
  readonly bounds: Bounds;
  #next = 0x0a000010;
  #enis = 0;

  constructor(targets: Targets, bounds: Bounds, mode: SlotKind) {
    this.targets = targets;
    this.bounds = bounds;
    this.pool = emptyPool(COOLDOWN, mode);
    this.take('eni-0', 0);
  }

  take(id: string, deviceNumber: number): void {
    const slots = this.attached.get(id)!;
    const primary = id === 'eni-0';
    this.pool = putEni(this.pool, { id, deviceNumber, primary, since: this.now, leaving: false, slots });
  }

  fresh(kind: SlotKind, count: number): Slot[] {
    return Array.from({ length: count }, () => {
      if (kind === 'address') return slotOf(fromNumber(this.#next++));
      this.#next = Math.ceil(this.#next / 16) * 16 + 16;
      return prefixSlotOf(cidrOf(fromNumber(this.#next - 16), 28));
    });
  }

  /** Every address of the node. */
  all(): Ipv4[] {
    return [...this.attached.values()].flat().flatMap(addressesIn);
  }

  plan(waiting = 0): Action[] {
    const { pool, targets, bounds, lastDecrease, now } = this;
    return plan({ pool, targets, bounds, waiting, lastDecrease, now });
  }

  carryOut(action: Action): void {
    switch (action.kind) {
      case 'assign-addresses':
      case 'assign-prefixes': {
        const held = this.attached.get(action.eniId)!;
        assert.ok(
          held.length + action.count <= this.bounds.slotsPerEni,
          'EC2 would refuse: too many addresses',
        );
        const added = this.fresh(action.kind === 'assign-prefixes' ? 'prefix' : 'address', action.count);
        assert.ok(
          added.every(({ kind }) => kind === this.pool.mode),
          'the other kind was mixed in',
        );
        this.attached.set(action.eniId, [...held, ...added]);
        this.pool = addSlots(this.pool, action.eniId, added);
        break;
      }
      case 'attach-eni': {
        assert.ok(this.attached.size < this.bounds.enis, 'EC2 would refuse: too many ENIs');
        const id = `eni-${++this.#enis}`;
        this.attached.set(id, this.fresh(this.pool.mode, action.count));
        const used = new Set(this.pool.enis.map((eni) => eni.deviceNumber));
        this.take(id, [...Array(99).keys()].find((device) => !used.has(device))!);
        break;
      }
      case 'unassign-addresses':
      case 'unassign-prefixes': {
        const keys = action.kind === 'unassign-prefixes' ? action.prefixes : action.addresses;
        for (const address of this.addressesAt(action.eniId, keys)) {
          assert.ok(
            ![...this.holders.values()].includes(address),
            `${address} was unassigned while it is held`,
          );
          assert.ok(!this.rests(address), `${address} was unassigned while it rests`);
        }
        const { pool, withdrawn } = withdraw(this.pool, action.eniId, keys, this.now);
        this.pool = pool;
        this.lastDecrease = this.now;
        const gone = new Set<string>(withdrawn);
        const held = this.attached.get(action.eniId)!;
        this.attached.set(
          action.eniId,
          held.filter((slot) => !gone.has(slotKey(slot))),
        );
        break;
      }
      case 'free-eni': {
        const eni = this.pool.enis.find(({ id }) => id === action.eniId)!;
        assert.ok(!eni.primary, 'the primary ENI was freed');
        for (const address of addressesOf(eni)) {
          assert.ok(![...this.holders.values()].includes(address), `an ENI in use was freed: ${eni.id}`);
          assert.ok(!this.rests(address), `an ENI with a resting address was freed: ${eni.id}`);
        }
        this.attached.delete(action.eniId);
        this.pool = dropEni(this.pool, action.eniId);
      }
    }
  }

  addressesAt(eniId: string, keys: readonly string[]): Ipv4[] {
    return this.attached
      .get(eniId)!
      .filter((slot) => keys.includes(slotKey(slot)))
      .flatMap(addressesIn);
  }

  rests(address: Ipv4): boolean {
    return this.now < (this.releasedAt.get(address) ?? -Infinity) + COOLDOWN;
  }

  add(pod: number): boolean {
    const given = assign(this.pool, keyOf(pod), {}, this.now);
    if (!given) {
      const free = this.all().filter((address) => this.canBeGiven(address));
      assert.deepEqual(free, [], 'a pod was refused although an address was free');
      return false;
    }
    const { address } = given.allocation;
    const before = this.holders.get(pod);
    if (before !== undefined && eniOf(this.pool, before))
      assert.equal(address, before, 'a pod lost its address');
    else assert.ok(!this.rests(address), `${address} was given out while it rests`);
    this.holders.delete(pod);
    assert.ok(![...this.holders.values()].includes(address), `${address} was given to two pods`);
    this.pool = given.pool;
    this.holders.set(pod, address);
    return true;
  }

  canBeGiven(address: Ipv4): boolean {
    const held = [...this.holders.values()].includes(address);
    const slot = [...this.attached.values()].flat().find((each) => addressesIn(each).includes(address))!;
    return (
      !held &&
      !this.rests(address) &&
      slot.kind === this.pool.mode &&
      eniOf(this.pool, address)?.leaving === false
    );
  }

  delete(pod: number): void {
    const { pool, allocation } = release(this.pool, keyOf(pod), this.now);
    assert.equal(allocation?.address, this.holders.get(pod));
    this.pool = pool;
    if (allocation) this.releasedAt.set(allocation.address, this.now);
    this.holders.delete(pod);
  }

  /** What metadata, up to date, says; ENIs that appear are taken up. */
  reconcile(): void {
    const observed = [...this.attached].map(([id, slots]) => ({ id, slots }));
    const result = reconcile(this.pool, observed, this.now);
    this.pool = result.pool;
    for (const id of result.appeared) this.take(id, this.pool.enis.length + 10);
  }

  pass(milliseconds: number): void {
    this.now += milliseconds;
    this.pool = expire(this.pool, this.now);
  }
}

type Step =
  | { do: 'add' | 'delete'; pod: number }
  | { do: 'pass'; milliseconds: number }
  | { do: 'act'; waiting: number }
  | { do: 'lose-eni' | 'lose-slot' | 'reconcile' | 'switch' };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('add' as const), pod: fc.nat(19) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('delete' as const), pod: fc.nat(19) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass' as const), milliseconds: fc.nat(40_000) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('act' as const), waiting: fc.nat(2) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('lose-eni', 'lose-slot', 'reconcile', 'switch') }),
  },
);

const anyWorld = fc
  .record({
    mode: fc.constantFrom<SlotKind>('address', 'prefix'),
    targets: fc.record({
      warmEnis: fc.nat(2),
      warmIps: fc.nat(8),
      minimumIps: fc.nat(40),
      warmPrefixes: fc.integer({ min: 1, max: 3 }),
    }),
    bounds: fc.record({ enis: fc.integer({ min: 1, max: 4 }), slotsPerEni: fc.integer({ min: 1, max: 6 }) }),
  })
  // Half of the worlds are without IP targets.
  .chain((world) => fc.boolean().map((byIps) => (byIps ? world : withoutIpTargets(world))));

function withoutIpTargets<W extends { targets: Targets }>(world: W): W {
  return { ...world, targets: { ...world.targets, warmIps: 0, minimumIps: 0 } };
}

function take(world: World, step: Step): void {
  switch (step.do) {
    case 'add':
      world.add(step.pod);
      break;
    case 'delete':
      world.delete(step.pod);
      break;
    case 'pass':
      world.pass(step.milliseconds);
      break;
    case 'act':
      for (const action of world.plan(step.waiting)) world.carryOut(action);
      break;
    case 'lose-eni': {
      const last = [...world.attached.keys()].at(-1)!;
      if (last !== 'eni-0') world.attached.delete(last);
      world.reconcile();
      break;
    }
    case 'lose-slot':
      world.attached.set('eni-0', world.attached.get('eni-0')!.slice(0, -1));
      world.reconcile();
      break;
    case 'switch':
      world.pool = { ...world.pool, mode: world.pool.mode === 'prefix' ? 'address' : 'prefix' };
      break;
    case 'reconcile':
      world.reconcile();
  }
}

test('no history gives an address to two pods, gives out a resting one, or frees an ENI in use', () => {
  fc.assert(
    fc.property(
      anyWorld,
      fc.array(anyStep, { maxLength: 150, size: 'max' }),
      ({ targets, bounds, mode }, steps) => {
        const world = new World(targets, bounds, mode);
        for (const step of steps) take(world, step);
        const counts = countsOf(world.pool, world.now);
        assert.equal(counts.assigned + counts.cooling + counts.free + counts.draining, counts.total);
      },
    ),
    { numRuns: 600 },
  );
});

test('after any history the pool comes to rest at its target', () => {
  fc.assert(
    fc.property(
      anyWorld,
      fc.array(anyStep, { maxLength: 80, size: 'max' }),
      ({ targets, bounds, mode }, steps) => {
        const world = new World(targets, bounds, mode);
        for (const step of steps) take(world, step);
        world.reconcile();
        for (let round = 0; round < 60; round++) {
          for (const action of world.plan()) world.carryOut(action);
          world.pass(MINIMUM_ENI_AGE / 2 + 1);
        }
        assert.deepEqual(world.plan(), [], 'it still acts');
        const { pool } = world;
        const { available, assigned } = countsOf(pool, world.now);
        const size = pool.mode === 'prefix' ? 16 : 1;
        const all = pool.enis.flatMap(({ slots }) => slots);
        const full = all.length === bounds.enis * bounds.slotsPerEni;
        const current = all.filter(({ kind }) => kind === pool.mode);
        const free = current.filter((slot) => isFreeSlot(pool, slot, world.now)).length;
        const left = all.filter(({ kind }) => kind !== pool.mode);
        if (current.length > 0) {
          assert.ok(!left.some((slot) => isFreeSlot(pool, slot, world.now)), 'what drains is kept');
        }
        if (targets.warmIps > 0 || targets.minimumIps > 0) {
          assert.ok(
            full || (available >= targets.warmIps && available + assigned >= targets.minimumIps),
            'it is short',
          );
          const over = Math.min(available - targets.warmIps, available + assigned - targets.minimumIps);
          assert.ok(over < size || free === 0, `it is ${over} over`);
        } else if (pool.mode === 'prefix') {
          assert.ok(full || available >= 16 * targets.warmPrefixes!, 'it is short');
          assert.ok(free <= targets.warmPrefixes!, 'it keeps a prefix that nothing needs');
        } else {
          const warm = Math.max(targets.warmEnis * bounds.slotsPerEni, 1);
          assert.ok(full || available >= warm, 'it is short');
          const surplus = available >= (targets.warmEnis + 1) * bounds.slotsPerEni;
          const idle = pool.enis.some((eni) => {
            const addresses = [...addressesOf(eni)];
            const unused = addresses.every((address) => !pool.allocations.has(address));
            return !eni.primary && unused && available - addresses.length >= warm;
          });
          assert.ok(!(surplus && idle), 'it keeps an ENI that nothing needs');
        }
      },
    ),
    { numRuns: 400 },
  );
});
