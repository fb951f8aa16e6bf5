import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressAt, type Ipv4, type Ipv4Cidr, parseIpv4Cidr } from '@enid/ip';
import { instanceLimits } from './instance-limits.ts';
import { type Action, type PlanInput, plan } from './plan.ts';
import {
  addressesOf,
  assign,
  countsOf,
  emptyPool,
  markLeaving,
  type Pool,
  prefixSlotOf,
  putEni,
  release,
  type Slot,
  slotKey,
  slotOf,
} from './pool.ts';

const NOW = 10_000_000;
const LIMITS = instanceLimits('t3.medium')!;
const BOUNDS = { enis: LIMITS.enis, slotsPerEni: LIMITS.ipv4PerEni - 1 };
const DEFAULT = { warmEnis: 1, warmIps: 0, minimumIps: 0 };

const address = (device: number, n: number): Ipv4 => addressAt(parseIpv4Cidr(`10.0.${device}.0/24`), n);

/** ENIs with so many addresses each, all long attached. */
function poolOf(...addressCounts: number[]): Pool {
  return addressCounts.reduce((pool, count, deviceNumber) => {
    const slots = Array.from({ length: count }, (_, n) => slotOf(address(deviceNumber, n + 10)));
    const eni = { id: `eni-${deviceNumber}`, deviceNumber, primary: deviceNumber === 0, slots };
    return putEni(pool, { ...eni, since: 0, leaving: false });
  }, emptyPool(30_000));
}

const keyOf = (pod: number) => ({ network: 'aws-cni', containerId: `c${pod}`, ifName: 'eth0' });

function withPods(pool: Pool, count: number): Pool {
  let filled = pool;
  for (let pod = 0; pod < count; pod++) filled = assign(filled, keyOf(pod), {}, 0)!.pool;
  return filled;
}

function planned(pool: Pool, input: Partial<PlanInput> = {}): Action[] {
  return plan({ pool, targets: DEFAULT, bounds: BOUNDS, waiting: 0, now: NOW, ...input });
}

test('WARM_ENI_TARGET 1 on a t3.medium: ENI 0 is filled, and a second ENI comes with the first pod', () => {
  assert.deepEqual(planned(poolOf(0)), [{ kind: 'assign-addresses', eniId: 'eni-0', count: 5 }]);
  assert.deepEqual(planned(poolOf(5)), []);
  assert.deepEqual(planned(withPods(poolOf(5), 1)), [{ kind: 'attach-eni', count: 5 }]);
  assert.deepEqual(planned(withPods(poolOf(5, 5), 5)), []);
  assert.deepEqual(planned(withPods(poolOf(5, 5), 6)), [{ kind: 'attach-eni', count: 5 }]);
  assert.deepEqual(planned(withPods(poolOf(5, 5, 5), 15)), []);
});

test('ENI 0 fills before ENI 1', () => {
  const pool = withPods(poolOf(5, 5), 7);
  const devices = [...pool.allocations.keys()].map((given) => given.split('.')[2]);
  assert.deepEqual(devices, ['0', '0', '0', '0', '0', '1', '1']);
});

test('WARM_ENI_TARGET 0 grows only when nothing is left', () => {
  const targets = { ...DEFAULT, warmEnis: 0 };
  assert.deepEqual(planned(withPods(poolOf(5), 4), { targets }), []);
  assert.deepEqual(planned(withPods(poolOf(5), 5), { targets }), [{ kind: 'attach-eni', count: 5 }]);
});

test('an ENI is freed when the others hold the target without it, and nothing on it is held or rests', () => {
  const free = [{ kind: 'free-eni', eniId: 'eni-1' }];
  assert.deepEqual(planned(poolOf(5, 5)), free);
  assert.deepEqual(planned(withPods(poolOf(5, 5), 1)), []);
  const [first] = poolOf(5, 5).enis[1]!.slots;
  const resting = { ...poolOf(5, 5), released: new Map([[slotKey(first!) as Ipv4, NOW - 29_999]]) };
  assert.deepEqual(planned(resting), []);
  assert.deepEqual(planned(resting, { now: NOW + 1 }), free);
});

test('a young ENI, a leaving one, and the primary one stay', () => {
  const young = putEni(poolOf(5, 5), { ...poolOf(5, 5).enis[1]!, since: NOW - 59_999 });
  assert.deepEqual(planned(young), []);
  assert.deepEqual(planned(markLeaving(poolOf(5, 5), 'eni-1', true)), []);
  assert.deepEqual(planned(poolOf(5), { targets: { ...DEFAULT, warmEnis: 0 } }), []);
});

test('WARM_IP_TARGET and MINIMUM_IP_TARGET fetch what is short and no more', () => {
  const targets = { warmEnis: 1, warmIps: 2, minimumIps: 4 };
  assert.deepEqual(planned(poolOf(0), { targets }), [{ kind: 'assign-addresses', eniId: 'eni-0', count: 4 }]);
  assert.deepEqual(planned(withPods(poolOf(4), 2), { targets }), []);
  assert.deepEqual(planned(withPods(poolOf(4), 3), { targets }), [
    { kind: 'assign-addresses', eniId: 'eni-0', count: 1 },
  ]);
  assert.deepEqual(planned(withPods(poolOf(5), 5), { targets }), [{ kind: 'attach-eni', count: 2 }]);
});

test('addresses over the IP targets are given back from the highest ENI, at most every 30 s', () => {
  const targets = { warmEnis: 1, warmIps: 2, minimumIps: 0 };
  const pool = withPods(poolOf(5, 3), 4);
  const unassign = {
    kind: 'unassign-addresses',
    eniId: 'eni-1',
    addresses: [address(1, 11), address(1, 12)],
  };
  assert.deepEqual(planned(pool, { targets }), [unassign]);
  assert.deepEqual(planned(pool, { targets, lastDecrease: NOW - 30_000 }), []);
  assert.deepEqual(planned(pool, { targets, lastDecrease: NOW - 30_001 }), [unassign]);
  assert.deepEqual(planned(pool, { targets: { ...targets, minimumIps: 7 } }), [
    { ...unassign, addresses: [address(1, 12)] },
  ]);
});

test('an address that rests is not given back', () => {
  const targets = { warmEnis: 1, warmIps: 1, minimumIps: 0 };
  const pool = release(withPods(poolOf(2), 2), keyOf(1), NOW - 1000).pool;
  assert.deepEqual(planned(pool, { targets }), []);
  const two = { ...poolOf(3), released: new Map([[address(0, 12), NOW - 1000]]) };
  assert.deepEqual(planned(two, { targets }), [
    { kind: 'unassign-addresses', eniId: 'eni-0', addresses: [address(0, 10), address(0, 11)] },
  ]);
});

test('a pod that waits makes the pool low although addresses rest', () => {
  const resting = new Map([...addressesOf(poolOf(5).enis[0]!)].map((each) => [each, NOW - 1000]));
  const pool = { ...poolOf(5), released: resting };
  assert.deepEqual(planned(pool), []);
  assert.deepEqual(planned(pool, { waiting: 1 }), [{ kind: 'attach-eni', count: 5 }]);
  const targets = { warmEnis: 0, warmIps: 0, minimumIps: 5 };
  assert.deepEqual(planned(withPods(poolOf(5), 5), { targets, waiting: 2 }), [
    { kind: 'attach-eni', count: 2 },
  ]);
});

test('the address that a pod waits for is not given back before the pod has it', () => {
  const targets = { warmEnis: 0, warmIps: 0, minimumIps: 5 };
  const pool = withPods(poolOf(5, 1), 5);
  assert.deepEqual(planned(pool, { targets, waiting: 1 }), []);
  assert.deepEqual(planned(pool, { targets }), [{ kind: 'free-eni', eniId: 'eni-1' }]);
  const young = putEni(pool, { ...pool.enis[1]!, since: NOW });
  assert.deepEqual(planned(young, { targets, waiting: 1 }), []);
  assert.equal(planned(young, { targets })[0]!.kind, 'unassign-addresses');
});

const block = (device: number, n: number): Ipv4Cidr => parseIpv4Cidr(`10.${device}.0.${n * 16}/28`);

/** A pool of prefixes: ENIs with so many each, all long attached. */
function prefixesOf(...counts: number[]): Pool {
  return counts.reduce(
    (pool, count, device) => {
      const slots = Array.from({ length: count }, (_, n) => prefixSlotOf(block(device, n)));
      return putEni(pool, { ...ENI(device), slots });
    },
    emptyPool(30_000, 'prefix'),
  );
}

const ENI = (deviceNumber: number) => ({
  id: `eni-${deviceNumber}`,
  deviceNumber,
  primary: deviceNumber === 0,
  since: 0,
  leaving: false,
});

const assignPrefixes = (device: number, count: number) => ({
  kind: 'assign-prefixes',
  eniId: `eni-${device}`,
  count,
});

test('WARM_PREFIX_TARGET 1: a prefix more with the first pod, another with the seventeenth', () => {
  assert.deepEqual(planned(prefixesOf(0)), [assignPrefixes(0, 1)]);
  assert.deepEqual(planned(prefixesOf(1)), []);
  assert.deepEqual(planned(withPods(prefixesOf(1), 1)), [assignPrefixes(0, 1)]);
  assert.deepEqual(planned(withPods(prefixesOf(2), 16)), []);
  assert.deepEqual(planned(withPods(prefixesOf(2), 17)), [assignPrefixes(0, 1)]);
  assert.deepEqual(planned(withPods(prefixesOf(5), 65)), [{ kind: 'attach-eni', count: 1 }]);
  assert.deepEqual(planned(withPods(prefixesOf(5, 5, 5), 240)), []);
});

test('the IP targets override WARM_PREFIX_TARGET and are met in whole prefixes', () => {
  const targets = { ...DEFAULT, warmPrefixes: 3, warmIps: 5, minimumIps: 0 };
  assert.deepEqual(planned(prefixesOf(0), { targets }), [assignPrefixes(0, 1)]);
  assert.deepEqual(planned(withPods(prefixesOf(1), 11), { targets }), []);
  assert.deepEqual(planned(withPods(prefixesOf(1), 12), { targets }), [assignPrefixes(0, 1)]);
  const minimum = { ...targets, minimumIps: 40 };
  assert.deepEqual(planned(prefixesOf(0), { targets: minimum }), [assignPrefixes(0, 3)]);
  assert.deepEqual(planned(prefixesOf(3), { targets: minimum }), []);
  assert.deepEqual(planned(prefixesOf(4), { targets: minimum }), [
    { kind: 'unassign-prefixes', eniId: 'eni-0', prefixes: [block(0, 3)] },
  ]);
});

test('a prefix goes back only when none of its addresses is held or rests', () => {
  const full = withPods(prefixesOf(3), 17);
  const pool = release(full, keyOf(16), NOW - 1000).pool;
  assert.deepEqual(planned(pool), []);
  assert.deepEqual(planned(pool, { now: NOW + 29_000 }), [
    { kind: 'unassign-prefixes', eniId: 'eni-0', prefixes: [block(0, 2)] },
  ]);
});

test('pods come from the fullest prefix of the lowest device, so that others empty', () => {
  let pool = withPods(prefixesOf(2, 1), 32);
  for (const pod of [0, 1, 2, 20]) pool = release(pool, keyOf(pod), 0).pool;
  const next = assign(pool, keyOf(40), {}, NOW)!;
  assert.equal(next.allocation.address, addressAt(block(0, 1), 4));
  assert.equal(assign(next.pool, keyOf(41), {}, NOW)!.allocation.address, addressAt(block(0, 0), 0));
});

test('prefixes take over from single addresses: room first, then what drains as it gets free', () => {
  const single = poolOf(5, 2);
  let pool: Pool = { ...withPods(single, 5), mode: 'prefix' };
  assert.deepEqual(planned(pool), [assignPrefixes(1, 1)]);
  assert.deepEqual(countsOf(pool, NOW).available, 0, 'what drains does not count');
  assert.equal(
    assign(pool, keyOf(9), {}, NOW)!.allocation.address,
    address(1, 10),
    'nothing else is there yet',
  );

  const withPrefix = [...single.enis[1]!.slots, prefixSlotOf(block(1, 0))];
  pool = putEni(pool, { ...single.enis[1]!, slots: withPrefix });
  assert.equal(assign(pool, keyOf(9), {}, NOW)!.allocation.address, addressAt(block(1, 0), 0));
  assert.deepEqual(planned(pool), [
    { kind: 'unassign-addresses', eniId: 'eni-1', addresses: [address(1, 10), address(1, 11)] },
  ]);
  const full: Pool = { ...withPods(poolOf(5, 5), 3), mode: 'prefix' };
  const last = { kind: 'unassign-addresses', eniId: 'eni-0', addresses: [address(0, 14)] };
  assert.deepEqual(planned(full), [last], 'room is made where there is none');
  assert.deepEqual(planned({ ...withPods(poolOf(5), 5), mode: 'prefix' }), [
    { kind: 'attach-eni', count: 1 },
  ]);
});

test('single addresses take over from prefixes, which stay as long as one of theirs is held', () => {
  const pool: Pool = { ...withPods(prefixesOf(5), 17), mode: 'address' };
  assert.deepEqual(planned(pool), [
    { kind: 'unassign-prefixes', eniId: 'eni-0', prefixes: [block(0, 2), block(0, 3), block(0, 4)] },
  ]);
  const slots: Slot[] = [block(0, 0), block(0, 1)].map(prefixSlotOf);
  const mixed = putEni(pool, { ...ENI(0), slots: [...slots, slotOf(address(9, 9))] });
  assert.deepEqual(planned(mixed), [{ kind: 'assign-addresses', eniId: 'eni-0', count: 2 }]);
  assert.equal(assign(mixed, keyOf(50), {}, NOW)!.allocation.address, address(9, 9));
});

test('an ENI that drains gives nothing, and is given back when it is empty', () => {
  const pool = putEni(poolOf(0, 5), { ...poolOf(5).enis[0]!, draining: true });
  const used = withPods(pool, 1);
  assert.deepEqual([...used.allocations.keys()], [address(1, 10)]);
  assert.deepEqual(planned(pool), [
    { kind: 'unassign-addresses', eniId: 'eni-0', addresses: [10, 11, 12, 13, 14].map((n) => address(0, n)) },
  ]);
  const secondary = putEni(poolOf(5, 5), { ...poolOf(5, 5).enis[1]!, draining: true });
  assert.deepEqual(planned(secondary), [{ kind: 'free-eni', eniId: 'eni-1' }]);
  const inPlace = withPods(secondary, 5);
  const bounds = { enis: 2, slotsPerEni: 5 };
  assert.deepEqual(planned(inPlace, { bounds }), [{ kind: 'free-eni', eniId: 'eni-1' }], 'it makes place');
});

test('a node has enough with an address for each pod that its kubelet takes', () => {
  const bounds = { ...BOUNDS, maxPods: 30 };
  assert.deepEqual(planned(withPods(prefixesOf(2), 30), { bounds }), []);
  assert.deepEqual(planned(withPods(prefixesOf(2), 32), { bounds, waiting: 1 }), [assignPrefixes(0, 1)]);
});
