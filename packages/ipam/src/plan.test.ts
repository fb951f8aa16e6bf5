import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressAt, type Ipv4, parseIpv4Cidr } from '@enid/ip';
import { instanceLimits } from './instance-limits.ts';
import { type Action, type PlanInput, plan } from './plan.ts';
import { assign, emptyPool, markLeaving, type Pool, putEni, release, slotOf } from './pool.ts';

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
  const resting = { ...poolOf(5, 5), released: new Map([[first!.address, NOW - 29_999]]) };
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
  const resting = new Map(poolOf(5).enis[0]!.slots.map((slot) => [slot.address, NOW - 1000]));
  const pool = { ...poolOf(5), released: resting };
  assert.deepEqual(planned(pool), []);
  assert.deepEqual(planned(pool, { waiting: 1 }), [{ kind: 'attach-eni', count: 5 }]);
  const targets = { warmEnis: 0, warmIps: 0, minimumIps: 5 };
  assert.deepEqual(planned(withPods(poolOf(5), 5), { targets, waiting: 2 }), [
    { kind: 'attach-eni', count: 2 },
  ]);
});
