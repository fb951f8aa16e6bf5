import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Pod } from '@enid/kube';
import { ManualClock } from '@enid/kube/testing';
import { pino } from 'pino';
import type { PodContext } from './context.ts';
import { PodWorker } from './pod-worker.ts';

const POD: Pod = { metadata: { name: 'p', namespace: 'default', uid: '1' }, spec: { containers: [] } };

it('tries again at once when something changes, and does not wait longer for having failed early', async () => {
  const clock = new ManualClock();
  const begun = clock.now();
  const attempts: number[] = [];
  const listPodSandbox = async () => {
    attempts.push((clock.now() - begun) / 1000);
    throw new Error('the runtime is away');
  };
  const cri = { listPodSandbox, listContainers: async () => [] };
  const log = pino({ level: 'silent' });
  const worker = new PodWorker({ clock, cri, log } as unknown as PodContext, POD, () => {});
  worker.poke();
  await clock.advance(0);
  for (let change = 0; change < 5; change++) {
    worker.update(POD);
    await clock.advance(0);
  }
  assert.deepEqual(attempts, [0, 0, 0, 0, 0, 0], 'each change is followed at once');

  await clock.advance(1_500);
  assert.equal(attempts.length, 7, 'the wait is that of one failure');
  await clock.advance(3_000);
  assert.equal(attempts.length, 8);
  const [second, third] = attempts.slice(-2) as [number, number];
  assert.ok(second >= 1 && third - second >= 2, `${attempts}`);
  await worker.close();
});
