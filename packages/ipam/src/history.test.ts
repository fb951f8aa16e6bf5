/**
 * Random histories: pods come and go, time passes, EC2 does what the plan says, fails, or is changed by somebody
 * else. After every step the properties must hold that pods depend on.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressAt, cidrOf, contains, type Ip, parseCidr, parseIpv4Cidr } from '@enid/ip';
import fc from 'fast-check';
import { type Action, type Bounds, MINIMUM_ENI_AGE, plan, type Targets } from './plan.ts';
import {
  addressesPerSlot,
  addSlots,
  assign,
  countsOf,
  dropEni,
  emptyPool,
  eniOf,
  expire,
  type HolderKey,
  heldIn,
  isFreeSlot,
  type Pool,
  PREFIX_LENGTH,
  prefixSlotOf,
  putEni,
  release,
  type Slot,
  type SlotKind,
  slotBlock,
  slotKey,
  slotOf,
  slotSize,
  withdraw,
} from './pool.ts';
import { reconcile } from './reconcile.ts';

const COOLDOWN = 30_000;
const keyOf = (pod: number): HolderKey => ({ network: 'aws-cni', containerId: `c${pod}`, ifName: 'eth0' });

/** Where the addresses of each family begin. */
const FIRST = { 4: parseIpv4Cidr('10.0.0.0/8'), 6: parseCidr('2001:db8::/32') } as const;

/** EC2 and a node: real ENIs with real addresses, and a pool that follows them. */
class World {
  now = 1_000_000;
  pool: Pool<Ip>;
  lastDecrease: number | undefined;
  /** What is really attached, and what it carries. */
  readonly attached = new Map<string, Slot<Ip>[]>([['eni-0', []]]);
  readonly releasedAt = new Map<Ip, number>();
  readonly holders = new Map<number, Ip>();
  readonly targets: Targets;
  readonly bounds: Bounds;
  /** Of the next address, in prefixes. */
  #next = 1;
  #enis = 0;

  constructor({ targets, bounds, mode, family }: Shape) {
    this.targets = targets;
    this.bounds = bounds;
    this.pool = emptyPool<Ip>(COOLDOWN, mode, family);
    this.take('eni-0', 0);
  }

  take(id: string, deviceNumber: number): void {
    const slots = this.attached.get(id)!;
    const primary = id === 'eni-0';
    this.pool = putEni(this.pool, { id, deviceNumber, primary, since: this.now, leaving: false, slots });
  }

  fresh(kind: SlotKind, count: number): Slot<Ip>[] {
    const { family } = this.pool;
    const size = addressesPerSlot({ mode: 'prefix', family });
    return Array.from({ length: count }, () => {
      const first = addressAt<Ip>(FIRST[family], this.#next++ * size);
      return kind === 'address' ? slotOf(first) : prefixSlotOf(cidrOf(first, PREFIX_LENGTH[family]));
    });
  }

  plan(waiting = 0): Action<Ip>[] {
    const { pool, targets, bounds, lastDecrease, now } = this;
    return plan({ pool, targets, bounds, waiting, lastDecrease, now });
  }

  carryOut(action: Action<Ip>): void {
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
        for (const slot of this.attached.get(action.eniId)!)
          if (keys.some((key) => key === slotKey(slot)))
            assert.deepEqual(this.busyIn(slot), [], `${slotKey(slot)} was unassigned`);
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
        for (const slot of eni.slots) assert.deepEqual(this.busyIn(slot), [], `${eni.id} was freed`);
        this.attached.delete(action.eniId);
        this.pool = dropEni(this.pool, action.eniId);
      }
    }
  }

  /** The addresses of a slot that are held or rest. */
  busyIn(slot: Slot<Ip>): Ip[] {
    const block = slotBlock(slot);
    const busy = new Set([
      ...this.holders.values(),
      ...this.releasedAt.keys().filter((each) => this.rests(each)),
    ]);
    return [...busy].filter((address) => contains(block, address));
  }

  rests(address: Ip): boolean {
    return this.now < (this.releasedAt.get(address) ?? -Infinity) + COOLDOWN;
  }

  add(pod: number): boolean {
    const given = assign(this.pool, keyOf(pod), {}, this.now);
    if (!given) {
      assert.ok(!this.canGive(), 'a pod was refused although an address was free');
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

  /** Whether an address of the pool's kind is neither held nor rests. */
  canGive(): boolean {
    const { enis, mode } = this.pool;
    return enis.some(({ id, leaving }) => {
      const slots = leaving ? [] : (this.attached.get(id) ?? []);
      return slots.some((slot) => slot.kind === mode && this.busyIn(slot).length < slotSize(slot));
    });
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

type Shape = {
  readonly family: 4 | 6;
  readonly mode: SlotKind;
  readonly targets: Targets;
  readonly bounds: Bounds;
};

const anyWorld = fc
  .record({
    family: fc.constantFrom(4 as const, 6 as const),
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
    fc.property(anyWorld, fc.array(anyStep, { maxLength: 150, size: 'max' }), (shape, steps) => {
      const world = new World(shape);
      for (const step of steps) take(world, step);
      const counts = countsOf(world.pool, world.now);
      assert.equal(counts.assigned + counts.cooling + counts.free + counts.draining, counts.total);
    }),
    { numRuns: 600 },
  );
});

test('after any history the pool comes to rest at its target', () => {
  fc.assert(
    fc.property(anyWorld, fc.array(anyStep, { maxLength: 80, size: 'max' }), (shape, steps) => {
      const { targets, bounds } = shape;
      const world = new World(shape);
      for (const step of steps) take(world, step);
      world.reconcile();
      for (let round = 0; round < 60; round++) {
        for (const action of world.plan()) world.carryOut(action);
        world.pass(MINIMUM_ENI_AGE / 2 + 1);
      }
      assert.deepEqual(world.plan(), [], 'it still acts');
      const { pool } = world;
      const { available, assigned } = countsOf(pool, world.now);
      const size = addressesPerSlot(pool);
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
        assert.ok(full || available >= size * targets.warmPrefixes!, 'it is short');
        assert.ok(free <= targets.warmPrefixes!, 'it keeps a prefix that nothing needs');
      } else {
        const warm = Math.max(targets.warmEnis * bounds.slotsPerEni, 1);
        assert.ok(full || available >= warm, 'it is short');
        const surplus = available >= (targets.warmEnis + 1) * bounds.slotsPerEni;
        const idle = pool.enis.some((eni) => {
          const unused = eni.slots.every((slot) => heldIn(pool, slot).length === 0);
          const size = eni.slots.reduce((sum, slot) => sum + slotSize(slot), 0);
          return !eni.primary && unused && available - size >= warm;
        });
        assert.ok(!(surplus && idle), 'it keeps an ENI that nothing needs');
      }
    }),
    { numRuns: 400 },
  );
});
