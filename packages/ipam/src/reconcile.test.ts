import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Ipv4, type Ipv4Cidr, parseIpv4, parseIpv4Cidr } from '@enid/ip';
import {
  assign,
  countsOf,
  emptyPool,
  METADATA_LAG,
  type Pool,
  prefixSlotOf,
  putEni,
  release,
  slotOf,
  slotsOf,
  withdraw,
} from './pool.ts';
import { reconcile } from './reconcile.ts';

const NOW = 10_000_000;
const [A, B, C] = ['10.0.0.10', '10.0.0.11', '10.0.0.12'].map(parseIpv4) as [Ipv4, Ipv4, Ipv4];
const KEY = { network: 'aws-cni', containerId: 'c1', ifName: 'eth0' };
const POOL = putEni(emptyPool(30_000), {
  id: 'eni-0',
  deviceNumber: 0,
  primary: true,
  since: 0,
  leaving: false,
  slots: [slotOf(A), slotOf(B)],
});

const observed = (id: string, addresses: Ipv4[], prefixes: Ipv4Cidr[] = []) => ({
  id,
  slots: slotsOf({ addresses, prefixes }),
});

test('nothing changes when metadata agrees', () => {
  const result = reconcile(POOL, [observed('eni-0', [B, A])], NOW);
  assert.equal(result.pool, POOL);
  assert.deepEqual([result.changed, result.appeared, result.vanished, result.lost], [0, [], [], []]);
});

test('an address that somebody added is taken up, one that somebody took is dropped', () => {
  const { pool, changed } = reconcile(POOL, [observed('eni-0', [B, C])], NOW);
  assert.equal(changed, 2);
  assert.deepEqual(pool.enis[0]!.slots, [slotOf(B), slotOf(C)]);
});

test('an unassigned address is not believed to be back while metadata may lag', () => {
  const { pool } = withdraw(POOL, 'eni-0', [B], NOW);
  const stale = [observed('eni-0', [A, B])];
  assert.equal(reconcile(pool, stale, NOW + METADATA_LAG - 1).changed, 0);
  assert.equal(reconcile(pool, stale, NOW + METADATA_LAG).changed, 1);
});

test("a held address that vanishes is told; it is nobody else's when it comes back", () => {
  const held = assign(POOL, KEY, {}, NOW)!.pool;
  const gone = reconcile(held, [observed('eni-0', [B])], NOW);
  assert.deepEqual(gone.lost, [A]);
  const { pool } = reconcile(gone.pool, [observed('eni-0', [A, B])], NOW);
  assert.equal(countsOf(pool, NOW).assigned, 1);
  assert.equal(assign(pool, { ...KEY, containerId: 'c2' }, {}, NOW)!.allocation.address, B);
});

test('the holder of a vanished address gets another when it asks again, and a release is understood', () => {
  const held = assign(POOL, KEY, {}, NOW)!.pool;
  const { pool } = reconcile(held, [observed('eni-0', [B])], NOW);
  assert.equal(release(pool, KEY, NOW).allocation?.address, A);
  const again = assign(pool, KEY, {}, NOW)!;
  assert.equal(again.allocation.address, B);
  assert.deepEqual([...again.pool.allocations.keys()], [B]);
});

test('ENIs that appear are for the caller to bring up; those that vanish are dropped with what they held', () => {
  const held = assign(POOL, KEY, {}, NOW)!.pool;
  const result = reconcile(held, [observed('eni-9', [C])], NOW);
  assert.deepEqual([result.appeared, result.vanished, result.lost], [['eni-9'], ['eni-0'], [A]]);
});

test('prefixes are taken up and dropped whole, and lag as addresses do', () => {
  const [P, Q] = ['10.0.1.0/28', '10.0.1.16/28'].map(parseIpv4Cidr) as [Ipv4Cidr, Ipv4Cidr];
  const empty: Pool = { ...emptyPool(30_000, 'prefix'), enis: [{ ...POOL.enis[0]!, slots: [] }] };
  const taken = reconcile(empty, [observed('eni-0', [], [P, Q])], NOW);
  assert.equal(taken.changed, 2);
  assert.equal(countsOf(taken.pool, NOW).free, 32);
  const held = assign(taken.pool, KEY, {}, NOW)!;
  assert.equal(held.allocation.address, '10.0.1.0');
  const gone = reconcile(held.pool, [observed('eni-0', [], [Q])], NOW);
  assert.deepEqual([gone.changed, gone.lost], [1, ['10.0.1.0']]);
  const withdrawn = withdraw(held.pool, 'eni-0', [P, Q], NOW);
  assert.deepEqual(withdrawn.withdrawn, [Q], 'one in use stays');
  const stale = [observed('eni-0', [], [P, Q])];
  assert.equal(reconcile(withdrawn.pool, stale, NOW + METADATA_LAG - 1).changed, 0);
  const back = reconcile(withdrawn.pool, stale, NOW + METADATA_LAG);
  assert.deepEqual(back.pool.enis[0]!.slots, [P, Q].map(prefixSlotOf));
});
