/**
 * Random histories: pods come and go, time passes, EC2 does what the plan says, fails, or is changed by somebody
 * else. After every step the properties must hold that pods depend on.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromNumber, type Ipv4 } from '@enid/ip';
import fc from 'fast-check';
import { type Action, type Bounds, MINIMUM_ENI_AGE, plan, type Targets } from './plan.ts';
import {
  addAddresses,
  addressesOf,
  assign,
  countsOf,
  dropEni,
  emptyPool,
  eniOf,
  expire,
  type HolderKey,
  type Pool,
  putEni,
  release,
  slotOf,
  withdraw,
} from './pool.ts';
import { reconcile } from './reconcile.ts';

const COOLDOWN = 30_000;
const keyOf = (pod: number): HolderKey => ({ network: 'aws-cni', containerId: `c${pod}`, ifName: 'eth0' });

/** EC2 and a node: real ENIs with real addresses, and a pool that follows them. */
class World {
  now = 1_000_000;
  pool: Pool = emptyPool(COOLDOWN);
  lastDecrease: number | undefined;
  /** Secondary addresses of what is really attached. */
  readonly attached = new Map<string, Ipv4[]>([['eni-0', []]]);
  readonly releasedAt = new Map<Ipv4, number>();
  readonly holders = new Map<number, Ipv4>();
  readonly targets: Targets;
  readonly bounds: Bounds;
  #next = 0x0a000010;
  #enis = 0;

  constructor(targets: Targets, bounds: Bounds) {
    this.targets = targets;
    this.bounds = bounds;
    this.take('eni-0', 0);
  }

  take(id: string, deviceNumber: number): void {
    const slots = this.attached.get(id)!.map(slotOf);
    const primary = id === 'eni-0';
    this.pool = putEni(this.pool, { id, deviceNumber, primary, since: this.now, leaving: false, slots });
  }

  fresh(count: number): Ipv4[] {
    return Array.from({ length: count }, () => fromNumber(this.#next++));
  }

  plan(waiting = 0): Action[] {
    const { pool, targets, bounds, lastDecrease, now } = this;
    return plan({ pool, targets, bounds, waiting, lastDecrease, now });
  }

  carryOut(action: Action): void {
    switch (action.kind) {
      case 'assign-addresses': {
        const held = this.attached.get(action.eniId)!;
        assert.ok(
          held.length + action.count <= this.bounds.slotsPerEni,
          'EC2 would refuse: too many addresses',
        );
        const added = this.fresh(action.count);
        held.push(...added);
        this.pool = addAddresses(this.pool, action.eniId, added);
        break;
      }
      case 'attach-eni': {
        assert.ok(this.attached.size < this.bounds.enis, 'EC2 would refuse: too many ENIs');
        const id = `eni-${++this.#enis}`;
        this.attached.set(id, this.fresh(action.count));
        const used = new Set(this.pool.enis.map((eni) => eni.deviceNumber));
        this.take(id, [...Array(99).keys()].find((device) => !used.has(device))!);
        break;
      }
      case 'unassign-addresses': {
        const { pool, withdrawn } = withdraw(this.pool, action.eniId, action.addresses, this.now);
        this.pool = pool;
        this.lastDecrease = this.now;
        const held = this.attached.get(action.eniId)!;
        this.attached.set(
          action.eniId,
          held.filter((address) => !withdrawn.includes(address)),
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

  rests(address: Ipv4): boolean {
    return this.now < (this.releasedAt.get(address) ?? -Infinity) + COOLDOWN;
  }

  add(pod: number): boolean {
    const given = assign(this.pool, keyOf(pod), {}, this.now);
    if (!given) {
      const free = [...this.attached.values()].flat().filter((address) => this.canBeGiven(address));
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
    return !held && !this.rests(address) && eniOf(this.pool, address)?.leaving === false;
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
    const observed = [...this.attached].map(([id, addresses]) => ({ id, addresses }));
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
  | { do: 'lose-eni' | 'lose-address' | 'reconcile' };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('add' as const), pod: fc.nat(19) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('delete' as const), pod: fc.nat(19) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass' as const), milliseconds: fc.nat(40_000) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('act' as const), waiting: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('lose-eni', 'lose-address', 'reconcile') }) },
);

const anyWorld = fc
  .record({
    targets: fc.record({ warmEnis: fc.nat(2), warmIps: fc.nat(8), minimumIps: fc.nat(12) }),
    bounds: fc.record({ enis: fc.integer({ min: 1, max: 4 }), slotsPerEni: fc.integer({ min: 1, max: 6 }) }),
  })
  .map(({ targets, bounds }) => ({ targets, bounds }));

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
    case 'lose-address':
      world.attached.get('eni-0')?.pop();
      world.reconcile();
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
      ({ targets, bounds }, steps) => {
        const world = new World(targets, bounds);
        for (const step of steps) take(world, step);
        const counts = countsOf(world.pool, world.now);
        assert.equal(counts.assigned + counts.cooling + counts.free, counts.total);
      },
    ),
    { numRuns: 600 },
  );
});

test('after any history the pool comes to rest at its target', () => {
  fc.assert(
    fc.property(anyWorld, fc.array(anyStep, { maxLength: 80, size: 'max' }), ({ targets, bounds }, steps) => {
      const world = new World(targets, bounds);
      for (const step of steps) take(world, step);
      world.reconcile();
      for (let round = 0; round < 40; round++) {
        for (const action of world.plan()) world.carryOut(action);
        world.pass(MINIMUM_ENI_AGE / 2 + 1);
      }
      assert.deepEqual(world.plan(), [], 'it still acts');
      const { available, total } = countsOf(world.pool, world.now);
      const full = total === bounds.enis * bounds.slotsPerEni;
      if (targets.warmIps > 0 || targets.minimumIps > 0) {
        assert.ok(full || (available >= targets.warmIps && total >= targets.minimumIps), 'it is short');
        const over = Math.min(available - targets.warmIps, total - targets.minimumIps);
        assert.ok(over <= 0, `it is ${over} over`);
      } else {
        const warm = Math.max(targets.warmEnis * bounds.slotsPerEni, 1);
        assert.ok(full || available >= warm, 'it is short');
        const surplus = available >= (targets.warmEnis + 1) * bounds.slotsPerEni;
        const idle = world.pool.enis.some((eni) => {
          const addresses = [...addressesOf(eni)];
          const unused = addresses.every((address) => !world.pool.allocations.has(address));
          return !eni.primary && unused && available - addresses.length >= warm;
        });
        assert.ok(!(surplus && idle), 'it keeps an ENI that nothing needs');
      }
    }),
    { numRuns: 400 },
  );
});
