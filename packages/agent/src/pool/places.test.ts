/** Where ENIs are: subnets by their tags and free addresses, or an ENIConfig. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Refusal } from '@enid/ipam';
import { explainAwsError } from '../aws/errors.ts';
import type { Assignment } from '../seams.ts';
import { type EniConfig, EniConfigError, type EniConfigSource } from './eni-config.ts';
import type { FakeCloud } from './fake-cloud.ts';
import { add, during, node, start } from './warm-pool.fixture.ts';

const CNI_ROLE = 'kubernetes.io/role/cni';

const subnetsOf = (cloud: FakeCloud) => [...cloud.enis.values()].map(({ subnetId }) => subnetId);

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

test('a subnet that fails is followed by the next, by free addresses', async () => {
  let creations = 0;
  const { clock, cloud, pool } = await node({
    prepare: (cloud) => {
      cloud.subnets.set('subnet-b', { free: 2000, tags: { [CNI_ROLE]: '1' } });
      cloud.subnets.set('subnet-c', { free: 1500, tags: { [CNI_ROLE]: '1' } });
    },
    hook: (step) => {
      if (step !== 'before CreateNetworkInterface' || ++creations > 1) return;
      const cause = Object.assign(new Error(), { name: 'InvalidSubnetID.NotFound' });
      throw explainAwsError(cause, { operation: 'CreateNetworkInterface', target: 'subnet-b' });
    },
  });
  await during(clock, add(pool, 1));
  assert.deepEqual(subnetsOf(cloud), ['subnet-a', 'subnet-c']);
});

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

const throttled = () =>
  explainAwsError(Object.assign(new Error(), { name: 'RequestLimitExceeded' }), {
    operation: 'DescribeSubnets',
    target: 'vpc-1',
  });

test('a start that cannot ask for tags fetches no address of a subnet that is tagged 0, and asks again soon', async () => {
  let failures = 3;
  const { clock, cloud, pool } = await node({
    prepare: (cloud) => {
      cloud.subnets.set('subnet-a', { free: 500, tags: { [CNI_ROLE]: '0' } });
      cloud.subnets.set('subnet-b', { free: 50, tags: { [CNI_ROLE]: '1' } });
    },
    hook: (step) => {
      if (step === 'before DescribeSubnets' && failures-- > 0) throw throttled();
    },
  });
  const readiness = pool.ready();
  assert.match(readiness.ok ? '' : readiness.reason, /EC2 throttles DescribeSubnets.*next attempt in \d+ s/);
  await assert.rejects(add(pool, 1), /EC2 throttles DescribeSubnets/);
  await clock.advance(60_000);
  const assignments = await during(clock, add(pool, 1, 2, 3, 4, 5, 6));
  assert.deepEqual(cloud.enis.get('eni-primary')!.addresses, []);
  assert.ok(assignments.every(({ eni }) => cloud.enis.get(eni.id)!.subnetId === 'subnet-b'));
});

test('a role that may not ask for tags keeps nobody from an address', async () => {
  const cause = Object.assign(new Error('x'), { name: 'UnauthorizedOperation' });
  const { pool } = await node({
    hook: (step) => {
      if (step === 'before DescribeSubnets')
        throw explainAwsError(cause, { operation: 'DescribeSubnets', target: 'vpc-1' });
    },
  });
  const [{ eni }] = (await add(pool, 1)) as [Assignment];
  assert.ok(eni.primary);
});

test('no ENI goes to a subnet that is known to be excluded while subnets cannot be looked up', async () => {
  let failing = false;
  const { clock, cloud, pool } = await node({
    prepare: (cloud) => {
      cloud.subnets.set('subnet-a', { free: 500, tags: { [CNI_ROLE]: '0' } });
      cloud.subnets.set('subnet-b', { free: 50, tags: { [CNI_ROLE]: '1' } });
    },
    hook: (step) => {
      if (failing && step === 'before DescribeSubnets') throw throttled();
    },
  });
  failing = true;
  await add(pool, 1);
  await clock.advance(20_000);
  assert.deepEqual(subnetsOf(cloud), ['subnet-a', 'subnet-b'], 'the primary ENI, and that of the start');
  failing = false;
  await clock.advance(60_000);
  assert.deepEqual(subnetsOf(cloud), ['subnet-a', 'subnet-b', 'subnet-b']);
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
  const { eniConfigs, prepare, change } = custom();
  const told: Refusal[] = [];
  const onShortage = (refusal: Refusal) => told.push(refusal);
  const { clock, cloud, pool } = await node({ prepare, change: { ...change, onShortage } });
  assert.equal(told[0]?.cause, 'FailedAssignIP');
  assert.match(told[0].sentence, /misses its ENIConfig: the ENIConfig "us-east-1a" does not exist/);
  assert.match(told[1]!.sentence, /can have no more addresses: the ENIConfig "us-east-1a" does not exist/);
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

test('a node with room on ENIs of an earlier setting is told that its ENIConfig is missing, too', async () => {
  const { clock, cloud, pool } = await node({ prepare: custom().prepare });
  await during(clock, add(pool, ...Array(6).keys()));
  await pool.stop();
  const told: Refusal[] = [];
  const onShortage = (refusal: Refusal) => told.push(refusal);
  const { eniConfigs } = custom();
  await start(cloud.session(), clock, {}, { eniConfigs, onShortage });
  await clock.advance(10_000);
  assert.match(told[0]?.sentence ?? '', /misses its ENIConfig: the ENIConfig "us-east-1a" does not exist/);
  const before = told.length;
  eniConfigs.set('subnet-pods');
  await clock.advance(60_000);
  assert.equal(told.length, before, 'it is there now');
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
