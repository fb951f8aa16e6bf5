/** Addresses given out and taken back, and the pool that is kept for it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countsOf, type Refusal } from '@enid/ipam';
import { explainAwsError } from '../aws/errors.ts';
import { NoAddressError } from '../seams.ts';
import type { Hook } from './fake-cloud.ts';
import { add, during, enisUp, keyOf, meta, node, start } from './warm-pool.fixture.ts';

test('a t3.medium without pods has its five addresses and no second ENI', async () => {
  const { cloud, pool } = await node();
  assert.deepEqual(enisUp(cloud), [0]);
  assert.equal(countsOf(pool.view.pool, 0).total, 5);
  assert.deepEqual(pool.ready(), { ok: true });
});

test('it is ready only when an address is there', async () => {
  const { clock, cloud, pool } = await node({
    prepare: (cloud) => cloud.subnets.set('subnet-a', { free: 0, tags: {} }),
  });
  const readiness = pool.ready();
  assert.ok(!readiness.ok);
  assert.match(
    readiness.reason,
    /0 of 0 addresses assigned.*subnet-a has no free address|eni-primary has no free/,
  );
  cloud.subnets.set('subnet-a', { free: 50, tags: {} });
  await clock.advance(180_000);
  assert.deepEqual(pool.ready(), { ok: true });
});

test('the first pod brings a second ENI, made in one call, tagged and deleted with the instance', async () => {
  const { clock, cloud, pool } = await node();
  cloud.calls.length = 0;
  const [assignment] = await add(pool, 1);
  assert.equal(assignment!.eni.id, 'eni-primary');
  assert.equal(assignment!.eni.table, 254);
  await clock.advance(10_000);
  assert.deepEqual(enisUp(cloud), [0, 1]);
  const eni = [...cloud.enis.values()].find(({ attachment }) => attachment?.deviceNumber === 1)!;
  assert.equal(eni.description, 'aws-K8S-i-0a');
  assert.equal(eni.addresses.length, 5);
  assert.equal(eni.attachment!.deleteOnTermination, true);
  assert.deepEqual(Object.keys(eni.tags).sort(), [
    'cluster.k8s.amazonaws.com/name',
    'eks:eni:owner',
    'node.k8s.amazonaws.com/createdAt',
    'node.k8s.amazonaws.com/instance_id',
  ]);
  assert.equal(cloud.calls.filter((call) => call === 'AssignPrivateIpAddresses').length, 0);
  assert.equal(pool.view.enis.get(eni.id)!.table, 2);
});

test('15 pods at once fill the node: those that find the pool empty wait for the ENI', async () => {
  const { clock, pool } = await node();
  const assignments = await during(clock, add(pool, ...Array(15).keys()));
  assert.equal(new Set(assignments.map(({ address }) => address)).size, 15);
  assert.deepEqual(assignments.map(({ eni }) => eni.deviceNumber).sort(), [
    ...Array(5).fill(0),
    ...Array(5).fill(1),
    ...Array(5).fill(2),
  ]);
});

test('the sixteenth pod is refused at once and told the limit; a released address comes back after its rest', async () => {
  const { clock, pool } = await node();
  await during(clock, add(pool, ...Array(15).keys()));
  const before = clock.now();
  await assert.rejects(add(pool, 16), (error: Error) => {
    assert.ok(error instanceof NoAddressError);
    assert.match(
      error.message,
      /i-0a \(t3\.medium\): 3 of 3 ENIs attached, 15 of 15 addresses assigned, 0 cool/,
    );
    assert.match(error.message, /t3\.medium holds 15 pods/);
    return true;
  });
  assert.equal(clock.now(), before);
  assert.deepEqual(pool.ready(), { ok: true }, 'a full node is ready');
  const released = await pool.release(keyOf(3));
  await assert.rejects(add(pool, 16), /1 cooling down until/);
  await clock.advance(29_999);
  await assert.rejects(add(pool, 16), NoAddressError);
  await clock.advance(1);
  assert.equal((await add(pool, 16))[0]!.address, released!.address);
});

test('assign and release are idempotent', async () => {
  const { pool } = await node();
  const [first, again] = await Promise.all([pool.assign(keyOf(1), meta(1)), pool.assign(keyOf(1), meta(1))]);
  assert.equal(first.address, again.address);
  assert.equal(pool.lookup(keyOf(1))!.address, first.address);
  assert.equal((await pool.release(keyOf(1)))!.address, first.address);
  assert.equal(await pool.release(keyOf(1)), undefined);
  assert.equal(pool.lookup(keyOf(1)), undefined);
});

test('idle ENIs are given back once they are old enough, detached and deleted', async () => {
  const { clock, cloud, pool } = await node();
  await during(clock, add(pool, ...Array(8).keys()));
  assert.deepEqual(enisUp(cloud), [0, 1, 2]);
  await Promise.all([...Array(8).keys()].map((pod) => pool.release(keyOf(pod))));
  await clock.advance(29_000);
  assert.deepEqual(enisUp(cloud), [0, 1, 2], 'released addresses rest');
  cloud.calls.length = 0;
  await clock.advance(120_000);
  assert.deepEqual(enisUp(cloud), [0]);
  const changes = cloud.calls.filter((call) => /^(Detach|Delete)/.test(call));
  const [detach, remove] = ['DetachNetworkInterface', 'DeleteNetworkInterface'];
  assert.deepEqual(changes, [detach, remove, detach, remove], 'no call comes before it can succeed');
  assert.deepEqual([...cloud.enis.keys()], ['eni-primary']);
});

test('a role that may not delete ENIs costs no time', async () => {
  const cause = Object.assign(new Error('x'), { name: 'UnauthorizedOperation' });
  const hook: Hook = (step) => {
    if (step === 'before DetachNetworkInterface') detachedAt = clock.now();
    if (step !== 'before DeleteNetworkInterface') return;
    refusedAt.push(clock.now());
    throw explainAwsError(cause, { operation: 'DeleteNetworkInterface', target: 'eni-1' });
  };
  let detachedAt = 0;
  const refusedAt: number[] = [];
  const { clock, pool } = await node({ hook });
  await during(clock, add(pool, 1));
  await pool.release(keyOf(1));
  while (detachedAt === 0) await clock.advance(1_000);
  await clock.advance(3_000);
  assert.equal(pool.view.pool.enis.length, 1);
  assert.equal(refusedAt.length, 1, 'what is refused once is refused again');
  await during(clock, add(pool, ...Array(6).keys()));
});

test('WARM_IP_TARGET gives back what is over', async () => {
  const { clock, cloud, pool } = await node({ env: { WARM_IP_TARGET: '2' } });
  assert.equal(cloud.enis.get('eni-primary')!.addresses.length, 2);
  await during(clock, add(pool, 1, 2, 3));
  assert.equal(cloud.enis.get('eni-primary')!.addresses.length, 5);
  await Promise.all([1, 2, 3].map((pod) => pool.release(keyOf(pod))));
  await clock.advance(70_000);
  assert.equal(cloud.enis.get('eni-primary')!.addresses.length, 2);
});

test('MAX_ENI is kept and named', async () => {
  const { clock, pool } = await node({ env: { MAX_ENI: '2' } });
  await during(clock, add(pool, ...Array(10).keys()));
  await assert.rejects(add(pool, 11), /MAX_ENI allows 2 ENIs of the 3/);
});

for (const [operation, code, reason, expected] of [
  [
    'CreateNetworkInterface',
    'NetworkInterfaceLimitExceeded',
    'ENILimit',
    /quota "Network interfaces per Region"/,
  ],
  [
    'AttachNetworkInterface',
    'AttachmentLimitExceeded',
    'ENILimit',
    /i-0a has as many ENIs attached as its type allows/,
  ],
  [
    'CreateNetworkInterface',
    'UnauthorizedOperation',
    'Denied',
    /may not call ec2:CreateNetworkInterface: attach the policy/,
  ],
  ['CreateNetworkInterface', 'RequestLimitExceeded', 'Throttled', /EC2 throttles CreateNetworkInterface/],
] as const) {
  test(`${code} is explained to the pod that is refused, and leaves no ENI behind`, async () => {
    const target = operation.startsWith('Attach') ? 'i-0a' : 'subnet-a';
    const hook: Hook = (step) => {
      if (step === `before ${operation}`)
        throw explainAwsError(Object.assign(new Error('x'), { name: code }), { operation, target });
    };
    const told: Refusal[] = [];
    const { clock, cloud, pool } = await node({
      hook,
      change: { onShortage: (refusal) => told.push(refusal) },
    });
    assert.equal(told.length, 0);
    await add(pool, 1, 2, 3, 4, 5);
    await clock.advance(5000);
    assert.equal(told[0]?.cause, reason, 'the node is told before any pod is refused');
    assert.match(told[0].sentence, expected);
    await assert.rejects(add(pool, 6), (error: NoAddressError) => {
      assert.match(error.message, expected);
      assert.equal(error.reason, reason);
      return true;
    });
    await clock.advance(60_000);
    assert.deepEqual([...cloud.enis.keys()], ['eni-primary']);
  });
}

test('a full subnet is explained, and tried again two minutes later', async () => {
  const { clock, cloud, pool } = await node({
    prepare: (cloud) => cloud.subnets.set('subnet-a', { free: 5, tags: {} }),
  });
  await add(pool, 1, 2, 3, 4, 5);
  await clock.advance(5000);
  await assert.rejects(
    add(pool, 6),
    /subnet-a has no free address: free some, or tag another subnet.*next attempt/,
  );
  const calls = cloud.calls.filter((call) => call === 'CreateNetworkInterface').length;
  await clock.advance(100_000);
  assert.equal(cloud.calls.filter((call) => call === 'CreateNetworkInterface').length, calls);
  cloud.subnets.set('subnet-a', { free: 50, tags: {} });
  await clock.advance(30_000);
  await add(pool, 6);
});

test('an address that cannot be written down is not given', async () => {
  let full = false;
  const hook: Hook = (step) => {
    if (full && step === 'before write') throw new Error('ENOSPC: no space left on device');
  };
  const { clock, pool } = await node({ hook });
  const [first] = await add(pool, 1);
  full = true;
  await assert.rejects(add(pool, 2), /ipam\.json cannot be written \(ENOSPC.*AWS_VPC_K8S_CNI_BACKING_STORE/);
  await assert.rejects(pool.release(keyOf(1)), /cannot be written/);
  await clock.settle();
  assert.deepEqual(
    pool.assignments().map(({ address }) => address),
    [first!.address],
  );
  full = false;
  await pool.release(keyOf(1));
  assert.deepEqual(pool.assignments(), []);
});

test('pods that are added at once share checkpoints', async () => {
  const { cloud, pool } = await node();
  cloud.calls.length = 0;
  await add(pool, 1, 2, 3, 4, 5);
  assert.ok(cloud.calls.filter((call) => call === 'write').length <= 2);
});

test('a stop lets waiting pods go at once and keeps the ENI that is being attached', async () => {
  const { clock, cloud, pool } = await node();
  await add(pool, 1, 2, 3, 4, 5);
  const sixth = add(pool, 6);
  sixth.catch(() => {});
  await clock.advance(1000);
  const before = clock.now();
  await during(clock, pool.stop(), 0);
  await assert.rejects(sixth, NoAddressError);
  assert.equal(clock.now(), before);
  await clock.advance(5000);
  const next = await start(cloud.session(), clock);
  await clock.advance(10_000);
  assert.deepEqual(enisUp(cloud), [0, 1]);
  assert.equal(next.assignments().length, 5);
});

test('ENIs are not brought for a pod while provisioning is off', async () => {
  const { clock, cloud, pool } = await node({
    env: { DISABLE_NETWORK_RESOURCE_PROVISIONING: 'true' },
    prepare: (cloud) => cloud.change('eni-primary', { addresses: [cloud.address()] }),
  });
  await add(pool, 1);
  await assert.rejects(add(pool, 2), /DISABLE_NETWORK_RESOURCE_PROVISIONING is set, so the agent adds none/);
  await clock.advance(200_000);
  assert.deepEqual([...cloud.enis.keys()], ['eni-primary']);
});

test('the ENIs of a cordoned node are left as they are, unless AWS_MANAGE_ENIS_NON_SCHEDULABLE', async () => {
  let cordoned = false;
  const told: Refusal[] = [];
  const change = { schedulable: () => !cordoned, onShortage: (refusal: Refusal) => told.push(refusal) };
  const { clock, cloud, pool } = await node({ change });
  cordoned = true;
  await add(pool, 1, 2, 3, 4, 5);
  await clock.advance(60_000);
  assert.deepEqual(enisUp(cloud), [0]);
  await assert.rejects(
    add(pool, 6),
    /the node is cordoned: uncordon it, or set AWS_MANAGE_ENIS_NON_SCHEDULABLE/,
  );
  assert.deepEqual(told, [], 'that is as somebody wants it');
  await pool.stop();
  const next = await start(cloud.session(), clock, { AWS_MANAGE_ENIS_NON_SCHEDULABLE: 'true' }, change);
  await during(clock, add(next, 6));
});

test('a node with an address for each pod that its kubelet takes has enough', async () => {
  const { clock, cloud, pool } = await node({ change: { maxPods: () => 5 } });
  await add(pool, 1, 2, 3);
  await clock.advance(30_000);
  assert.deepEqual(enisUp(cloud), [0]);
});
