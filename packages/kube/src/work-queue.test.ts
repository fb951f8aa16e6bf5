import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ManualClock } from './clock.fixture.ts';
import { WorkQueue } from './work-queue.ts';

describe('WorkQueue', () => {
  it('works once on a key that was added often, and again on one that was added meanwhile', async () => {
    const clock = new ManualClock();
    const turns: string[] = [];
    const gate = Promise.withResolvers<void>();
    const queue = new WorkQueue({
      clock,
      concurrency: 2,
      process: async (key) => {
        turns.push(key);
        if (turns.length <= 2) await gate.promise;
      },
    });
    for (const key of ['a', 'a', 'b', 'c', 'b']) queue.add(key);
    await clock.settle();
    assert.deepEqual(turns, ['a', 'b'], 'two at a time');
    queue.add('a');
    queue.add('a');
    gate.resolve();
    await clock.settle();
    assert.deepEqual(turns, ['a', 'b', 'c', 'a']);
  });

  it('never has a key in two hands', async () => {
    const clock = new ManualClock();
    const hands = new Set<string>();
    let done = 0;
    const queue = new WorkQueue({
      clock,
      concurrency: 8,
      process: async (key) => {
        assert.ok(!hands.has(key));
        hands.add(key);
        await clock.settle();
        hands.delete(key);
        done++;
      },
      onError: (_key, error) => assert.fail(error),
    });
    for (let i = 0; i < 200; i++) {
      queue.add(`${i % 5}`);
      if (i % 7 === 0) await clock.settle();
    }
    while (queue.size > 0 || hands.size > 0) await clock.settle();
    assert.ok(done >= 5);
  });

  it('tries again ever later, and from the beginning after a success', async () => {
    const clock = new ManualClock();
    let fails = 3;
    const errors: string[] = [];
    const queue = new WorkQueue({
      clock,
      backoff: { base: 100, max: 250, random: () => 0 },
      process: async () => {
        if (fails-- > 0) throw new Error('not yet');
      },
      onError: (key, error) => errors.push(`${key}: ${error.message}`),
    });
    const waits: (number | undefined)[] = [];
    queue.add('a');
    for (let turn = 0; turn < 4; turn++) {
      await clock.settle();
      waits.push(clock.next);
      await clock.advance(clock.next ?? 0);
    }
    assert.deepEqual(waits, [100, 200, 250, undefined]);
    assert.deepEqual(errors, Array(3).fill('a: not yet'));
    fails = 1;
    queue.add('a');
    await clock.settle();
    assert.equal(clock.next, 100);
  });

  it('holds to the earliest time asked for, and does nothing after it is closed', async () => {
    const clock = new ManualClock();
    const begun = clock.now();
    const turns: number[] = [];
    const queue = new WorkQueue({ clock, process: async () => void turns.push(clock.now() - begun) });
    queue.addAfter('a', 500);
    queue.addAfter('a', 200);
    queue.addAfter('a', 300);
    await clock.advance(1_000);
    assert.deepEqual(turns, [200]);
    queue.addAfter('a', 100);
    await queue.close();
    queue.add('a');
    await clock.advance(1_000);
    assert.deepEqual([turns, clock.next], [[200], undefined]);
  });
});
