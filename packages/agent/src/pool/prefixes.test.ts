/** A pool of delegated prefixes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countsOf, type Refusal, type Slot } from '@enid/ipam';
import { TestClock } from '../test-clock.ts';
import { FakeCloud, IDENTITY } from './fake-cloud.ts';
import { add, during, keyOf, node, start } from './warm-pool.fixture.ts';
import type { WarmPool } from './warm-pool.ts';

const PREFIXES = { ENABLE_PREFIX_DELEGATION: 'true' };

const carriedBy = (cloud: FakeCloud): [number, number][] =>
  [...cloud.enis.values()].map(({ addresses, prefixes }) => [addresses.length, prefixes.length]);

const kindsOf = (pool: WarmPool) =>
  new Set(pool.view.pool.enis.flatMap(({ slots }) => slots.map(({ kind }: Slot) => kind)));

test('with prefixes a t3.medium has one, gets the next with the first pod, and an ENI with its prefix in one call', async () => {
  const { clock, cloud, pool } = await node({ env: PREFIXES });
  assert.deepEqual(carriedBy(cloud), [[0, 1]]);
  assert.equal(countsOf(pool.view.pool, clock.now()).total, 16);
  const [first] = await during(clock, add(pool, 0));
  assert.equal(first!.eni.id, 'eni-primary');
  assert.deepEqual(carriedBy(cloud), [[0, 2]]);
  cloud.calls.length = 0;
  const pods = [...Array(80).keys()].slice(1);
  const assignments = await during(clock, add(pool, ...pods));
  assert.equal(new Set(assignments.map(({ address }) => address)).size, 79);
  assert.deepEqual(carriedBy(cloud), [
    [0, 5],
    [0, 1],
  ]);
  assert.equal(cloud.calls.filter((call) => call === 'CreateNetworkInterface').length, 1);
  await during(clock, Promise.all(pods.map((pod) => pool.release(keyOf(pod)))), 200_000);
  assert.deepEqual(carriedBy(cloud), [[0, 2]], 'empty prefixes go back, the one in use and a warm one stay');
});

test('a running node is switched to prefixes and back, and its pods keep their addresses', async () => {
  const { clock, cloud, pool } = await node();
  const before = await during(clock, add(pool, 1, 2, 3), 20_000);
  assert.deepEqual(carriedBy(cloud), [
    [5, 0],
    [5, 0],
  ]);
  await pool.stop();
  const prefixed = await start(cloud.session(), clock, PREFIXES);
  const [fourth] = await add(prefixed, 4);
  assert.ok(cloud.enis.get('eni-primary')!.addresses.includes(fourth!.address), 'no prefix is there yet');
  await clock.advance(200_000);
  for (const { key, address } of before) assert.equal(prefixed.lookup(key)!.address, address);
  assert.deepEqual(
    carriedBy(cloud),
    [[4, 1]],
    'free single addresses, and the ENI of none but those, are gone',
  );
  const [fifth] = await add(prefixed, 5);
  assert.ok(cloud.enis.get('eni-primary')!.prefixes[0]!.startsWith(fifth!.address.replace(/\d+$/, '')));
  for (const { key } of before) await prefixed.release(key);
  await clock.advance(100_000);
  const rested = 'an address goes back once it was released and has rested';
  assert.deepEqual(
    carriedBy(cloud),
    [
      [1, 1],
      [0, 1],
    ],
    rested,
  );
  await prefixed.stop();

  const back = await start(cloud.session(), clock);
  await clock.advance(200_000);
  assert.equal(back.lookup(fifth!.key)!.address, fifth!.address);
  assert.deepEqual(carriedBy(cloud), [
    [4, 1],
    [4, 0],
  ]);
  await back.release(fifth!.key);
  await clock.advance(200_000);
  assert.deepEqual([...kindsOf(back)], ['address']);
});

test('a fragmented subnet is named with its free addresses, tried again after two minutes, and nothing is mixed in', async () => {
  const told: Refusal[] = [];
  const { clock, cloud, pool } = await node({
    env: PREFIXES,
    prepare: (cloud) => cloud.subnets.set('subnet-a', { free: 57, blocks: 1, tags: {} }),
    change: { onShortage: (refusal) => told.push(refusal) },
  });
  await during(clock, add(pool, ...Array(16).keys()));
  assert.equal(told[0]?.cause, 'PrefixFragmentation');
  assert.match(told[0].sentence, /i-0a \(t3\.medium\) can have no more addresses: subnet-a is fragmented/);
  await assert.rejects(
    add(pool, 16),
    /16 of 16 addresses assigned \(1 prefix\), 0 cooling; more cannot be had: subnet-a is fragmented: it has 4\d free addresses but no contiguous \/28 block.*reserve a range.*InsufficientCidrBlocks.*next attempt in 1\d\d s/,
  );
  const tries = () => cloud.calls.filter((call) => call === 'AssignPrivateIpAddresses').length;
  const before = tries();
  await clock.advance(85_000);
  assert.equal(tries(), before);
  assert.deepEqual(carriedBy(cloud), [[0, 1]]);
  cloud.subnets.set('subnet-a', { free: 57, blocks: 2, tags: {} });
  await clock.advance(60_000);
  await add(pool, 16);
});

test('prefixes come from another subnet when the first is fragmented', async () => {
  const { clock, cloud, pool } = await node({
    env: PREFIXES,
    prepare: (cloud) => {
      cloud.subnets.set('subnet-a', { free: 300, blocks: 1, tags: {} });
      cloud.subnets.set('subnet-b', { free: 90, tags: { 'kubernetes.io/role/cni': '1' } });
    },
  });
  await during(clock, add(pool, ...Array(20).keys()));
  assert.deepEqual(
    [...cloud.enis.values()].map(({ subnetId }) => subnetId),
    ['subnet-a', 'subnet-b'],
  );
});

test('an instance without Nitro is given no prefix and says why', async () => {
  const told: Refusal[] = [];
  const clock = new TestClock();
  const cloud = new FakeCloud(clock);
  await clock.advance(5000);
  const pool = await start(cloud.session(), clock, PREFIXES, {
    identity: { ...IDENTITY, instanceType: 'm4.large' },
    onShortage: (refusal) => told.push(refusal),
  });
  await clock.advance(60_000);
  assert.equal(told[0]?.cause, 'FailedAssignIP');
  assert.match(told[0].sentence, /m4\.large is no Nitro instance/);
  await assert.rejects(
    add(pool, 1),
    /m4\.large is no Nitro instance.*ENABLE_PREFIX_DELEGATION=false for this node/,
  );
  assert.ok(!pool.ready().ok);
  assert.deepEqual(carriedBy(cloud), [[0, 0]]);
});

test('a prefix that somebody assigns is taken up, one that vanishes is told', async () => {
  const { clock, cloud, pool } = await node({ env: PREFIXES });
  const [held] = await add(pool, 1);
  const { prefixes } = cloud.enis.get('eni-primary')!;
  cloud.change('eni-primary', { prefixes: [...prefixes, cloud.prefix()] });
  await clock.advance(70_000);
  assert.ok(pool.view.events.reconciled.eniIPPoolReconcile > 0);
  cloud.change('eni-primary', { prefixes: cloud.enis.get('eni-primary')!.prefixes.slice(1) });
  await clock.advance(130_000);
  assert.equal(pool.view.events.lostAddresses, 1);
  assert.equal((await pool.release(held!.key))!.address, held!.address);
});
