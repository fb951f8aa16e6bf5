/** What is done for ENIs besides: security groups, and ENIs that were left behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FakeCloud } from './fake-cloud.ts';
import { add, during, keyOf, node } from './warm-pool.fixture.ts';

test('secondary ENIs follow the security groups of the primary one', async () => {
  const { clock, cloud, pool } = await node();
  await add(pool, 1);
  await clock.advance(10_000);
  cloud.change('eni-primary', { securityGroups: ['sg-2', 'sg-1'] });
  await clock.advance(130_000);
  const secondary = [...cloud.enis.values()].find(({ attachment }) => attachment?.deviceNumber === 1)!;
  assert.deepEqual(secondary.securityGroups, ['sg-1', 'sg-2']);
});

test('also while the pool changes all the time', async () => {
  const { clock, cloud, pool } = await node({ env: { WARM_IP_TARGET: '1', IP_COOLDOWN_PERIOD: '0' } });
  await during(clock, add(pool, ...Array(7).keys()));
  cloud.change('eni-primary', { securityGroups: ['sg-2'] });
  const busy = async (seconds: number) => {
    for (const end = clock.now() + seconds * 1000; clock.now() < end; ) {
      const calls = cloud.calls.length;
      await add(pool, 7);
      await clock.advance(35_000);
      await pool.release(keyOf(7));
      await clock.advance(10_000);
      const changes = cloud.calls.slice(calls).filter((call) => /^(Assign|Unassign)/.test(call));
      assert.deepEqual([...new Set(changes)].sort(), [
        'AssignPrivateIpAddresses',
        'UnassignPrivateIpAddresses',
      ]);
    }
  };
  await busy(180);
  const secondary = [...cloud.enis.values()].find(({ attachment }) => attachment?.deviceNumber === 1)!;
  assert.deepEqual(secondary.securityGroups, ['sg-2']);
});

test("ENIs that agents of other instances left behind are deleted; what is young or not an agent's stays", async () => {
  const created = (age: number) => new Date(Date.parse('2026-01-01T12:00:00Z') - age).toISOString();
  const left =
    (id: string, description: string, tags: Record<string, string>, subnetId = 'subnet-a') =>
    (cloud: FakeCloud) =>
      cloud.add({
        id,
        subnetId,
        addresses: [],
        description,
        tags: {
          'node.k8s.amazonaws.com/instance_id': 'i-gone',
          'cluster.k8s.amazonaws.com/name': 'demo',
          ...tags,
        },
      });
  const at = 'node.k8s.amazonaws.com/createdAt';
  const prepare = (cloud: FakeCloud) => {
    cloud.subnets.set('subnet-far', { free: 10, tags: {}, vpcId: 'vpc-2' });
    left('eni-far', 'aws-K8S-i-gone', { [at]: created(3_600_000) }, 'subnet-far')(cloud);
    left('eni-old', 'aws-K8S-i-gone', { [at]: created(3_600_000) })(cloud);
    left('eni-young', 'aws-K8S-i-gone', { [at]: created(-3_500_000) })(cloud);
    left('eni-undated', 'aws-K8S-i-gone', {})(cloud);
    left('eni-user', 'database', { [at]: created(3_600_000) })(cloud);
    left('eni-cluster', 'aws-K8S-i-gone', {
      [at]: created(3_600_000),
      'cluster.k8s.amazonaws.com/name': 'other',
    })(cloud);
  };
  const { clock, cloud } = await node({ prepare });
  await clock.advance(3_600_000);
  const kept = ['eni-cluster', 'eni-far', 'eni-primary', 'eni-undated', 'eni-user', 'eni-young'];
  assert.deepEqual([...cloud.enis.keys()].sort(), kept);
  assert.ok(cloud.enis.get('eni-undated')!.tags[at]);
  const careless = await node({ prepare, env: { DISABLE_LEAKED_ENI_CLEANUP: 'true' } });
  await careless.clock.advance(3_600_000);
  assert.ok(careless.cloud.enis.has('eni-old'));
});
