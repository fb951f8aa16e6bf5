/** ENIs that are given back while pods want addresses, and EC2 or the disk fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainAwsError } from '../aws/errors.ts';
import type { Assignment } from '../seams.ts';
import type { FakeCloud, Hook } from './fake-cloud.ts';
import { add, during, enisUp, keyOf, node } from './warm-pool.fixture.ts';

/** That EC2 and the kernel have what the pods hold. */
function assertCarried(cloud: FakeCloud, assignments: readonly Assignment[]): void {
  for (const { key, address } of assignments) {
    const eni = [...cloud.enis.values()].find(({ addresses }) => addresses.includes(address));
    assert.equal(eni?.attachment?.status, 'attached', `${key.containerId} lost ${address}`);
    assert.ok(
      cloud.up.some(({ id }) => id === eni!.id),
      `the kernel has ${eni!.id} down`,
    );
  }
}

test('an ENI that could neither be freed nor asked after is not taken up for pods that come meanwhile', async () => {
  let failures = 0;
  const hook: Hook = (step) => {
    if (failures === 0 || step !== 'before DescribeNetworkInterfaces') return;
    failures--;
    const cause = Object.assign(new Error('x'), { name: 'RequestLimitExceeded' });
    throw explainAwsError(cause, { operation: 'DescribeNetworkInterfaces', target: 'i-0a' });
  };
  const { clock, cloud, pool } = await node({ hook });
  await during(clock, add(pool, 1));
  assert.deepEqual(enisUp(cloud), [0, 1]);
  const [leaving] = [...cloud.enis.keys()].slice(1);
  await pool.release(keyOf(1));
  failures = 2; // Of the call that frees it, and of the one that asks what came of that.
  for (let seconds = 0; failures > 0; seconds++) {
    assert.ok(seconds < 120, 'nothing is given back');
    await clock.advance(1_000);
  }
  const assignments = await during(clock, add(pool, ...Array(6).keys()), 60_000);
  assert.ok(
    assignments.every(({ eni }) => eni.id !== leaving),
    'a pod has an address of the ENI that leaves',
  );
  assertCarried(cloud, assignments);
  assert.ok(!cloud.enis.has(leaving!), 'it goes in the end');
});

test('an ENI stays when the release of its last address could not be written down', async () => {
  let armed = false;
  const hook: Hook = async (step) => {
    if (!armed) return;
    // The write fails while EC2 is asked for the ENI that is to go.
    if (step === 'before write') {
      await clock.sleep(10_000);
      throw new Error('ENOSPC: no space left on device');
    }
    if (step === 'before DescribeNetworkInterfaces') {
      asked++;
      await clock.sleep(15_000);
    }
  };
  let asked = 0;
  const { clock, cloud, pool } = await node({ hook, env: { IP_COOLDOWN_PERIOD: '0', WARM_ENI_TARGET: '0' } });
  const assignments = await during(clock, add(pool, ...Array(6).keys()), 70_000);
  const last = assignments.find(({ eni }) => !eni.primary)!;
  await pool.release(assignments.find(({ eni }) => eni.primary)!.key);
  armed = true;
  const released = pool.release(last.key);
  released.catch(() => {});
  await clock.advance(9_000);
  assert.equal(asked, 1, 'the ENI is about to go');
  await clock.advance(21_000);
  await assert.rejects(released, /ENOSPC/);
  armed = false;
  await clock.advance(30_000);
  assert.equal(pool.lookup(last.key)!.address, last.address);
  assertCarried(cloud, [last]);
});
