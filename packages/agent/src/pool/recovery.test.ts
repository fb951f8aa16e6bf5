/** What a start finds again: by the checkpoint, without it, and without EC2. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfig } from '../config.ts';
import { hostVethName } from '../network/names.ts';
import { TestClock } from '../test-clock.ts';
import { FakeCloud, type Hook, IDENTITY } from './fake-cloud.ts';
import { add, during, enisUp, keyOf, LOG, node, start } from './warm-pool.fixture.ts';
import { WarmPool } from './warm-pool.ts';

test('EC2 that does not answer at the start keeps no pod from its address', async () => {
  const { clock, cloud, pool } = await node();
  await during(clock, add(pool, ...Array(6).keys()));
  await pool.stop();
  let down = true;
  const hook: Hook = (step) => {
    if (down && step === 'before DescribeNetworkInterfaces') throw new Error('connect ETIMEDOUT');
  };
  const next = await start(cloud.session(hook), clock);
  assert.equal(next.assignments().length, 6);
  assert.deepEqual(next.ready(), { ok: true });
  await add(next, 7);
  down = false;
  await clock.advance(30_000);
  assert.deepEqual(enisUp(cloud), [0, 1, 2]);
});

test('no EC2 call is made in IMDS-only mode', async () => {
  const clock = new TestClock();
  const cloud = new FakeCloud(clock);
  cloud.change('eni-primary', { addresses: [cloud.address()] });
  await clock.advance(5000);
  const session = cloud.session();
  const settings = readConfig({ ENABLE_IMDS_ONLY_MODE: 'true' }).pool;
  const pool = await WarmPool.start({
    metadata: session,
    network: session,
    store: session,
    clock,
    random: () => 0.5,
    log: LOG,
    identity: IDENTITY,
    settings,
  });
  await add(pool, 1);
  await assert.rejects(add(pool, 2), /ENABLE_IMDS_ONLY_MODE is set, so the agent adds none/);
  await clock.advance(200_000);
  assert.deepEqual(new Set(cloud.calls), new Set(['read', 'GetMetadata', 'setEnis', 'write']));
});

test('a restart keeps every allocation, its metadata and its ENI, and the rest of what was released', async () => {
  const { clock, cloud, pool } = await node();
  const before = await during(clock, add(pool, ...Array(15).keys()));
  const released = await pool.release(keyOf(7));
  await pool.stop();
  await clock.advance(3000);
  const next = await start(cloud.session(), clock);
  const kept = before.filter(({ address }) => address !== released!.address);
  assert.deepEqual(
    next.assignments().toSorted((a, b) => a.address.localeCompare(b.address)),
    kept.toSorted((a, b) => a.address.localeCompare(b.address)),
  );
  await assert.rejects(add(next, 16), /1 cooling down/);
  await clock.advance(26_999);
  await assert.rejects(add(next, 16), /1 cooling down/);
  await clock.advance(1);
  assert.equal((await add(next, 16))[0]!.address, released!.address);
});

test("after Amazon's agent, what its checkpoint does not name rests from when it was last written", async () => {
  const clock = new TestClock();
  const cloud = new FakeCloud(clock);
  const [held, ...others] = Array.from({ length: 5 }, () => cloud.address());
  cloud.change('eni-primary', { addresses: [held!, ...others] });
  const key = { networkName: 'aws-cni', containerID: 'c1', ifName: 'eth0' };
  const metadata = { k8sPodNamespace: 'default', k8sPodName: 'web', interfacesCount: 1 };
  const allocation = { ...key, ipv4: held, allocationTimestamp: 1_767_268_800_123_456_000, metadata };
  const text = JSON.stringify({ version: 'vpc-cni-ipam/1', allocations: [allocation] });
  cloud.disk = { text, writtenAt: clock.now() };
  await clock.advance(10_000);
  const pool = await start(cloud.session(), clock, { MAX_ENI: '1' });
  assert.equal(pool.lookup(keyOf(1))!.address, held);
  assert.equal(pool.lookup(keyOf(1))!.metadata.k8sPodName, 'web');
  await assert.rejects(add(pool, 2), /4 cooling down/);
  await clock.advance(20_000);
  await add(pool, 2);
});

test('a checkpoint that cannot be read stops the start: its addresses would be given out again', async () => {
  const clock = new TestClock();
  const cloud = new FakeCloud(clock);
  for (const text of [
    '{"version":"vpc-cni-ipam/1","alloc',
    '{"version":"vpc-cni-ipam/9","allocations":[]}',
  ]) {
    cloud.disk = { text, writtenAt: clock.now() };
    await assert.rejects(
      start(cloud.session(), clock),
      /is no checkpoint of version vpc-cni-ipam\/1.*restore it; or/,
    );
  }
});

test('pods that run on while the checkpoint is gone keep their addresses, by their links and the names of the runtime', async () => {
  const { clock, cloud, pool } = await node();
  const before = await during(clock, add(pool, ...Array(6).keys()));
  await pool.release(keyOf(5));
  await pool.stop();
  cloud.disk = undefined;
  const links = before.slice(0, 5).map(({ address, key, metadata }) => ({
    name: hostVethName('eni', key, metadata),
    address,
  }));
  const session = cloud.session();
  const next = await start(
    session,
    clock,
    {},
    {
      network: { setEnis: (enis) => session.setEnis(enis), podLinks: () => links },
      // The runtime does not know the last two.
      runtimePods: async () =>
        [0, 1, 2, 7].map((pod) => ({ id: `c${pod}`, namespace: 'default', name: `pod-${pod}` })),
    },
  );
  for (const pod of [0, 1, 2]) assert.equal(next.lookup(keyOf(pod))!.address, before[pod]!.address);
  for (const { key, address } of before.slice(3, 5)) {
    assert.equal(next.lookup(key), undefined);
    const { metadata } = next.assignments().find((each) => each.address === address)!;
    const link = links.find((each) => each.address === address)!;
    assert.equal(hostVethName('eni', key, metadata), link.name, 'its link is not taken for an orphan');
  }
  assert.match(cloud.disk!.text, /"containerID":"c0".*"networkName":"unknown","containerID":"eni/);
  await assert.rejects(during(clock, add(next, 9), 0), /cooling down/);
  await clock.advance(30_000);
  const [tenth] = await add(next, 10);
  assert.ok(!before.slice(0, 5).some(({ address }) => address === tenth!.address));
});
