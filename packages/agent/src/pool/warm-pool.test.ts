import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIpv4 } from '@enid/ip';
import { countsOf, type Slot, slotKey } from '@enid/ipam';
import { pino } from 'pino';
import { readConfig } from '../config.ts';
import { hostVethName } from '../network/names.ts';
import { type Assignment, NoAddressError } from '../seams.ts';
import { TestClock } from '../test-clock.ts';
import { type EniConfig, EniConfigError, type EniConfigSource } from './eni-config.ts';
import { FakeCloud, type Hook, IDENTITY, type Session } from './fake-cloud.ts';
import type { WarmPoolOptions } from './investigate.ts';
import { WarmPool } from './warm-pool.ts';

const LOG = pino({ level: process.env.LOG ?? 'silent' });

const keyOf = (pod: number | string) => ({ network: 'aws-cni', containerId: `c${pod}`, ifName: 'eth0' });
const meta = (pod: number | string) => ({ k8sPodName: `pod-${pod}`, k8sPodNamespace: 'default' });

function start(
  session: Session,
  clock: TestClock,
  env: NodeJS.ProcessEnv = {},
  change: Partial<WarmPoolOptions> = {},
): Promise<WarmPool> {
  return WarmPool.start({
    ec2: session,
    metadata: session,
    network: session,
    store: session,
    clock,
    random: () => 0.5,
    log: LOG,
    identity: IDENTITY,
    settings: readConfig(env).pool,
    clusterName: 'demo',
    ...change,
  });
}

/** A node whose agent has run for a while. */
async function node(
  options: {
    env?: NodeJS.ProcessEnv;
    hook?: Hook;
    prepare?: (cloud: FakeCloud) => void;
    change?: Partial<WarmPoolOptions>;
  } = {},
) {
  const clock = new TestClock();
  const cloud = new FakeCloud(clock);
  options.prepare?.(cloud);
  await clock.advance(5000);
  const pool = await start(cloud.session(options.hook), clock, options.env, options.change);
  await clock.advance(10_000);
  return { clock, cloud, pool };
}

/** Resolves while time passes. */
async function during<T>(clock: TestClock, work: Promise<T>, milliseconds = 10_000): Promise<T> {
  work.catch(() => {});
  await clock.advance(milliseconds);
  return work;
}

const add = (pool: WarmPool, ...pods: number[]): Promise<Assignment[]> =>
  Promise.all(pods.map((pod) => pool.assign(keyOf(pod), meta(pod))));

const enisUp = (cloud: FakeCloud) => cloud.up.map(({ deviceNumber }) => deviceNumber);

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

for (const [operation, code, expected] of [
  ['CreateNetworkInterface', 'NetworkInterfaceLimitExceeded', /quota "Network interfaces per Region"/],
  ['AttachNetworkInterface', 'AttachmentLimitExceeded', /i-0a has as many ENIs attached as its type allows/],
  [
    'CreateNetworkInterface',
    'UnauthorizedOperation',
    /may not call ec2:CreateNetworkInterface: attach the policy/,
  ],
  ['CreateNetworkInterface', 'RequestLimitExceeded', /EC2 throttles CreateNetworkInterface/],
] as const) {
  test(`${code} is explained to the pod that is refused, and leaves no ENI behind`, async () => {
    const { explainAwsError } = await import('../aws/errors.ts');
    const target = operation.startsWith('Attach') ? 'i-0a' : 'subnet-a';
    const hook: Hook = (step) => {
      if (step === `before ${operation}`)
        throw explainAwsError(Object.assign(new Error('x'), { name: code }), { operation, target });
    };
    const { clock, cloud, pool } = await node({ hook });
    await add(pool, 1, 2, 3, 4, 5);
    await clock.advance(5000);
    await assert.rejects(add(pool, 6), expected);
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

test('another subnet of the zone takes the ENI when it is tagged so', async () => {
  const { clock, cloud, pool } = await node({
    prepare: (cloud) => {
      cloud.subnets.set('subnet-a', { free: 5, tags: {} });
      cloud.subnets.set('subnet-b', { free: 90, tags: { 'kubernetes.io/role/cni': '1' } });
      cloud.subnets.set('subnet-c', { free: 99, tags: {} });
    },
  });
  await during(clock, add(pool, ...Array(6).keys()));
  const subnets = [...cloud.enis.values()].map(({ subnetId }) => subnetId);
  assert.deepEqual(subnets, ['subnet-a', 'subnet-b', 'subnet-b']);
});

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
  assert.equal(pool.view.events.lostAddresses, 1);
  assert.equal((await pool.release(cut.key))!.eni.id, cut.eni.id);
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

test('addresses that somebody else assigned are found when EC2 says that there is no room for more', async () => {
  const { clock, cloud, pool } = await node({ env: { WARM_IP_TARGET: '4', MAX_ENI: '1' } });
  const { addresses } = cloud.enis.get('eni-primary')!;
  cloud.change('eni-primary', { addresses: [...addresses, cloud.address()] });
  await add(pool, 1);
  await clock.advance(2000);
  assert.equal(countsOf(pool.view.pool, clock.now()).total, 5);
  await add(pool, 2, 3, 4, 5);
});

test('secondary ENIs follow the security groups of the primary one', async () => {
  const { clock, cloud, pool } = await node();
  await add(pool, 1);
  await clock.advance(10_000);
  cloud.change('eni-primary', { securityGroups: ['sg-2', 'sg-1'] });
  await clock.advance(130_000);
  const secondary = [...cloud.enis.values()].find(({ attachment }) => attachment?.deviceNumber === 1)!;
  assert.deepEqual(secondary.securityGroups, ['sg-1', 'sg-2']);
});

test("ENIs that agents of other instances left behind are deleted; what is young or not an agent's stays", async () => {
  const created = (age: number) => new Date(Date.parse('2026-01-01T12:00:00Z') - age).toISOString();
  const left = (id: string, description: string, tags: Record<string, string>) => (cloud: FakeCloud) =>
    cloud.add({
      id,
      subnetId: 'subnet-a',
      addresses: [],
      description,
      tags: {
        'node.k8s.amazonaws.com/instance_id': 'i-gone',
        'cluster.k8s.amazonaws.com/name': 'demo',
        ...tags,
      },
    });
  const at = 'node.k8s.amazonaws.com/createdAt';
  const { clock, cloud } = await node({
    prepare: (cloud) => {
      left('eni-old', 'aws-K8S-i-gone', { [at]: created(3_600_000) })(cloud);
      left('eni-young', 'aws-K8S-i-gone', { [at]: created(-3_500_000) })(cloud);
      left('eni-undated', 'aws-K8S-i-gone', {})(cloud);
      left('eni-user', 'database', { [at]: created(3_600_000) })(cloud);
      left('eni-cluster', 'aws-K8S-i-gone', {
        [at]: created(3_600_000),
        'cluster.k8s.amazonaws.com/name': 'other',
      })(cloud);
    },
  });
  await clock.advance(3_600_000);
  const ids = [...cloud.enis.keys()].sort();
  assert.deepEqual(ids, ['eni-cluster', 'eni-primary', 'eni-undated', 'eni-user', 'eni-young']);
  assert.ok(cloud.enis.get('eni-undated')!.tags[at]);
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
  const { clock, cloud, pool } = await node({
    env: PREFIXES,
    prepare: (cloud) => cloud.subnets.set('subnet-a', { free: 57, blocks: 1, tags: {} }),
  });
  await during(clock, add(pool, ...Array(16).keys()));
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
  const clock = new TestClock();
  const cloud = new FakeCloud(clock);
  await clock.advance(5000);
  const pool = await start(cloud.session(), clock, PREFIXES, {
    identity: { ...IDENTITY, instanceType: 'm4.large' },
  });
  await clock.advance(60_000);
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

const CNI_ROLE = 'kubernetes.io/role/cni';
const subnetsOf = (cloud: FakeCloud) => [...cloud.enis.values()].map(({ subnetId }) => subnetId);

test('a subnet that fails is followed by the next, by free addresses', async () => {
  const { clock, cloud, pool } = await node({
    prepare: (cloud) => {
      cloud.subnets.set('subnet-b', { free: 2000, tags: { [CNI_ROLE]: '1' } });
      cloud.subnets.set('subnet-c', { free: 1500, tags: { [CNI_ROLE]: '1' } });
    },
    hook: async (step) => {
      if (step !== 'before CreateNetworkInterface' || ++creations > 1) return;
      const { explainAwsError } = await import('../aws/errors.ts');
      const cause = Object.assign(new Error(), { name: 'InvalidSubnetID.NotFound' });
      throw explainAwsError(cause, { operation: 'CreateNetworkInterface', target: 'subnet-b' });
    },
  });
  await during(clock, add(pool, 1));
  assert.deepEqual(subnetsOf(cloud), ['subnet-a', 'subnet-c']);
});
let creations = 0;

test("a subnet tagged 0 gives pods nothing, also the primary ENI's", async () => {
  const { clock, cloud, pool } = await node({
    prepare: (cloud) => {
      cloud.change('eni-primary', { addresses: [cloud.address()] });
      cloud.subnets.set('subnet-a', { free: 500, tags: { [CNI_ROLE]: '0' } });
      cloud.subnets.set('subnet-b', { free: 50, tags: { [CNI_ROLE]: '1' } });
    },
  });
  const assignments = await during(clock, add(pool, 1, 2, 3, 4, 5, 6));
  assert.ok(assignments.every(({ eni }) => !eni.primary));
  assert.deepEqual(subnetsOf(cloud), ['subnet-a', 'subnet-b', 'subnet-b']);
  await during(clock, add(pool, 7, 8, 9, 10));
  await assert.rejects(
    add(pool, 11),
    /t3\.medium holds 10 pods without its primary ENI \(subnet-a is tagged kubernetes\.io\/role\/cni=0\)/,
  );
});

test('the ENIs of a cordoned node are left as they are, unless AWS_MANAGE_ENIS_NON_SCHEDULABLE', async () => {
  let cordoned = false;
  const change = { schedulable: () => !cordoned };
  const { clock, cloud, pool } = await node({ change });
  cordoned = true;
  await add(pool, 1, 2, 3, 4, 5);
  await clock.advance(60_000);
  assert.deepEqual(enisUp(cloud), [0]);
  await assert.rejects(
    add(pool, 6),
    /the node is cordoned: uncordon it, or set AWS_MANAGE_ENIS_NON_SCHEDULABLE/,
  );
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

/** The ENIConfig of a node; none at first. */
class TestEniConfigs implements EniConfigSource {
  config: EniConfig | undefined;
  #changed = () => {};

  async configFor(): Promise<EniConfig> {
    if (!this.config) throw new EniConfigError('the ENIConfig "us-east-1a" does not exist: create it');
    return this.config;
  }

  onChange(handler: () => void): () => void {
    this.#changed = handler;
    return () => {};
  }

  set(subnetId: string, ...securityGroups: string[]): void {
    this.config = { name: 'us-east-1a', subnetId, securityGroups };
    this.#changed();
  }
}

const custom = () => {
  const eniConfigs = new TestEniConfigs();
  const prepare = (cloud: FakeCloud) => {
    for (const id of ['subnet-pods', 'subnet-more']) cloud.subnets.set(id, { free: 100, tags: {} });
  };
  return { eniConfigs, prepare, change: { eniConfigs } };
};

test('custom networking: not ready without an ENIConfig, then pods are where it says and the primary ENI is not theirs', async () => {
  const { eniConfigs, ...options } = custom();
  const { clock, cloud, pool } = await node(options);
  const readiness = pool.ready();
  assert.match(
    readiness.ok ? '' : readiness.reason,
    /0 of 0 addresses.*the ENIConfig "us-east-1a" does not exist/,
  );
  eniConfigs.set('subnet-pods', 'sg-pods');
  await clock.advance(5000);
  assert.deepEqual(pool.ready(), { ok: true });
  const assignments = await during(clock, add(pool, ...Array(10).keys()));
  assert.ok(assignments.every(({ eni }) => !eni.primary));
  const secondary = [...cloud.enis.values()].slice(1);
  assert.deepEqual(
    secondary.map(({ subnetId }) => subnetId),
    ['subnet-pods', 'subnet-pods'],
  );
  assert.deepEqual(cloud.enis.get('eni-primary')!.addresses, []);
  await assert.rejects(
    add(pool, 11),
    /t3\.medium holds 10 pods without its primary ENI \(custom networking keeps it free of pods\)/,
  );
  cloud.change('eni-primary', { securityGroups: ['sg-9'] });
  await clock.advance(130_000);
  assert.ok([...cloud.enis.values()].slice(1).every(({ securityGroups }) => securityGroups[0] === 'sg-pods'));
});

test('a running node changes over to custom networking as its pods go, and follows another ENIConfig', async () => {
  const { clock, cloud, pool } = await node({ prepare: custom().prepare });
  const before = await during(clock, add(pool, ...Array(6).keys()));
  await pool.stop();
  const { eniConfigs } = custom();
  eniConfigs.set('subnet-pods');
  const next = await start(cloud.session(), clock, {}, { eniConfigs });
  await clock.settle(); // It hears of the ENIConfig.
  const [seventh] = await during(clock, add(next, 7));
  assert.equal(cloud.enis.get(seventh!.eni.id)!.subnetId, 'subnet-pods');
  assert.deepEqual(
    cloud.enis.get(seventh!.eni.id)!.securityGroups,
    ['sg-1'],
    'as the primary ENI, when none are named',
  );
  for (const { key, address } of before) assert.equal(next.lookup(key)!.address, address);
  await during(clock, Promise.all(before.map(({ key }) => next.release(key))), 200_000);
  assert.deepEqual(subnetsOf(cloud).sort(), ['subnet-a', 'subnet-pods', 'subnet-pods']);
  assert.deepEqual(cloud.enis.get('eni-primary')!.addresses, []);

  eniConfigs.set('subnet-more');
  await clock.advance(200_000);
  assert.deepEqual(
    subnetsOf(cloud).sort(),
    ['subnet-a', 'subnet-more', 'subnet-pods'],
    'one pod is left there',
  );
  assert.equal(next.lookup(seventh!.key)!.address, seventh!.address);
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
