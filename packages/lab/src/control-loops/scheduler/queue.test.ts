import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Pod } from '@enid/kube';
import { ManualClock } from '@enid/kube/testing';
import { SchedulingQueue } from './queue.ts';

const pod = (name: string, priority = 0, creationTimestamp = '2026-01-01T00:00:00Z'): Pod => ({
  metadata: { name, creationTimestamp },
  spec: { priority, containers: [] },
});
const names = (pods: readonly Pod[]) => pods.map(({ metadata }) => metadata?.name);

it('takes the most important first, and looks at what found no node again when something has changed', async () => {
  const clock = new ManualClock();
  let ready = 0;
  const queue = new SchedulingQueue(clock, () => ready++);
  queue.put(pod('young', 0, '2026-01-02T00:00:00Z'));
  queue.put(pod('old'));
  queue.put(pod('vip', 10));
  assert.deepEqual(names(queue.take()), ['vip', 'old', 'young']);

  queue.giveBack(pod('old'), queue.changes);
  await clock.advance(60_000);
  assert.deepEqual(names(queue.take()), [], 'nothing has changed');
  queue.retry();
  await clock.advance(0);
  assert.deepEqual(names(queue.take()), ['old']);

  // What changed while it was looked at counts, after the wait of a second failure: 2 s.
  const { changes } = queue;
  queue.retry();
  queue.giveBack(pod('old'), changes);
  await clock.advance(1_999);
  assert.deepEqual(names(queue.take()), []);
  await clock.advance(1);
  assert.deepEqual(names(queue.take()), ['old']);
  assert.ok(ready >= 5);
});

it('spares a pod what cannot help it: neither an attempt nor a longer wait comes of it', async () => {
  const clock = new ManualClock();
  const queue = new SchedulingQueue(clock, () => {});
  queue.giveBack(pod('picky'), queue.changes);
  queue.giveBack(pod('modest'), queue.changes);
  queue.retry(({ metadata }) => metadata?.name === 'modest');
  await clock.advance(1_000);
  assert.deepEqual(names(queue.take()), ['modest']);

  queue.retry();
  await clock.advance(0);
  assert.deepEqual(names(queue.take()), ['picky']);
});

it('looks at a pod again in the end, though nothing has changed', async () => {
  const clock = new ManualClock();
  const queue = new SchedulingQueue(clock, () => {});
  queue.giveBack(pod('old'), queue.changes);
  await clock.advance(5 * 60_000 - 1);
  assert.deepEqual(names(queue.take()), []);
  await clock.advance(1);
  assert.deepEqual(names(queue.take()), ['old']);
});
