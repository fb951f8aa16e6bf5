/** What others do to the node's ENIs and addresses behind the agent's back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIpv4 } from '@enid/ip';
import { countsOf, slotKey } from '@enid/ipam';
import { add, during, enisUp, node } from './warm-pool.fixture.ts';

test('an ENI tagged no_manage is left alone and takes a place', async () => {
  const { clock, cloud, pool } = await node({
    prepare: (cloud) =>
      cloud.add({
        id: 'eni-foreign',
        subnetId: 'subnet-a',
        addresses: [parseIpv4('10.0.15.1')],
        tags: { 'node.k8s.amazonaws.com/no_manage': 'true' },
        description: '',
        device: 1,
      }),
  });
  await during(clock, add(pool, ...Array(10).keys()));
  await assert.rejects(
    add(pool, 11),
    /2 of 2 ENIs.*t3\.medium holds 10 pods on the ENIs that the agent manages \(1 it/,
  );
  assert.deepEqual(enisUp(cloud), [0, 2]);
});

test('an ENI without tags is left alone when MANAGE_UNTAGGED_ENI is off', async () => {
  const { clock, cloud, pool } = await node({ env: { MANAGE_UNTAGGED_ENI: 'false' } });
  const addresses = [parseIpv4('10.0.15.1')];
  cloud.add({ id: 'eni-new', subnetId: 'subnet-a', addresses, tags: {}, description: '', device: 1 });
  await during(clock, add(pool, ...Array(6).keys()), 70_000);
  assert.deepEqual(enisUp(cloud), [0, 2]);
  assert.deepEqual(cloud.enis.get('eni-new')!.tags, {});
});

test('an ENI that somebody attached is taken up', async () => {
  const { clock, cloud, pool } = await node();
  const address = parseIpv4('10.0.15.1');
  cloud.add({
    id: 'eni-new',
    subnetId: 'subnet-a',
    addresses: [address],
    tags: {},
    description: '',
    device: 1,
  });
  await add(pool, 1);
  await clock.advance(70_000);
  assert.ok(enisUp(cloud).includes(1));
  assert.ok(
    [...pool.view.pool.enis.find(({ id }) => id === 'eni-new')!.slots].some(
      (slot) => slotKey(slot) === address,
    ),
  );
});

test('an ENI that somebody detached is dropped; its pods keep their claim', async () => {
  const { clock, cloud, pool } = await node();
  const assignments = await during(clock, add(pool, ...Array(6).keys()));
  const cut = assignments.find(({ eni }) => eni.deviceNumber === 1)!;
  cloud.detach(cut.eni.id);
  await clock.advance(130_000);
  assert.ok(!cloud.up.some(({ id }) => id === cut.eni.id));
  assert.deepEqual([pool.view.events.lostEnis, pool.view.events.lostAddresses], [1, 1]);
  assert.equal((await pool.release(cut.key))!.eni.id, cut.eni.id);
});

test('an ENI without pods that somebody detached is no loss', async () => {
  const { clock, cloud, pool } = await node();
  await during(clock, add(pool, 1));
  const [, unused] = [...cloud.enis.keys()];
  cloud.detach(unused!);
  await clock.advance(130_000);
  const { lostEnis, lostAddresses, reconciled } = pool.view.events;
  assert.deepEqual([lostEnis, lostAddresses, reconciled.eniReconcileDel], [0, 0, 1]);
});

test('addresses that somebody else assigned are found when EC2 says that there is no room for more', async () => {
  const { clock, cloud, pool } = await node({ env: { WARM_IP_TARGET: '4', MAX_ENI: '1' } });
  const { addresses } = cloud.enis.get('eni-primary')!;
  cloud.change('eni-primary', { addresses: [...addresses, cloud.address()] });
  await add(pool, 1);
  await clock.advance(2000);
  assert.equal(countsOf(pool.view.pool, clock.now()).total, 5);
  await add(pool, 2, 3, 4, 5);
});
