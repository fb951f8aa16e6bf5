import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Job, type Pod, timestamp } from '@enid/kube';
import fc from 'fast-check';
import { formatIndexes, parseIndexes } from './indexes.ts';
import { expiry, INDEX, planJob } from './plan.ts';

const NOW = Date.parse('2026-01-01T12:00:00Z');

function job(spec: object, status: object = {}): Job {
  return { metadata: { name: 'job' }, spec: { template: {}, ...spec }, status };
}

function pod(phase: string, index?: number): Pod {
  return {
    metadata: {
      name: `${phase}-${index}`,
      creationTimestamp: timestamp(NOW),
      ...(index !== undefined && { annotations: { [INDEX]: `${index}` } }),
    },
    spec: { containers: [] },
    status: { phase },
  };
}

describe('Job', () => {
  it('runs no more at once and no more in all than wanted', () => {
    const spec = { completions: 5, parallelism: 2 };
    assert.equal(planJob(job(spec), [], NOW).create.length, 2);
    const almost = [...Array(4).fill(pod('Succeeded')), pod('Running')];
    assert.deepEqual(planJob(job(spec), almost, NOW).create, []);
    const { outcome, status } = planJob(job(spec), Array(5).fill(pod('Succeeded')), NOW);
    assert.equal(outcome?.type, 'Complete');
    assert.deepEqual(
      status.conditions?.map(({ type }) => type),
      ['SuccessCriteriaMet', 'Complete'],
    );
    assert.equal(status.completionTime, '2026-01-01T12:00:00Z');
  });

  it('gives each index one pod at a time, and counts indexes', () => {
    const spec = { completions: 4, parallelism: 3, completionMode: 'Indexed' };
    const pods = [pod('Succeeded', 1), pod('Succeeded', 1), pod('Running', 0)];
    const { create, status } = planJob(job(spec), pods, NOW);
    assert.deepEqual([create, status.succeeded, status.completedIndexes], [[2, 3], 1, '1']);
  });

  it('waits longer after each failure, and gives up in the end', () => {
    const spec = { completions: 1, backoffLimit: 1 };
    const { create, nextAt } = planJob(job(spec), [pod('Failed')], NOW + 4_000);
    assert.deepEqual([create, nextAt], [[], NOW + 10_000]);
    assert.equal(planJob(job(spec), [pod('Failed')], NOW + 10_000).create.length, 1);
    const { outcome, remove } = planJob(job(spec), [pod('Failed'), pod('Failed'), pod('Running')], NOW);
    assert.deepEqual([outcome?.reason, remove.length], ['BackoffLimitExceeded', 1]);
  });

  it('ends at its deadline, is suspended, and is removed in time', () => {
    const running = [pod('Running')];
    const late = job({ completions: 1, activeDeadlineSeconds: 60 }, { startTime: timestamp(NOW - 60_000) });
    assert.equal(planJob(late, running, NOW).outcome?.reason, 'DeadlineExceeded');
    const suspended = planJob(job({ completions: 1, suspend: true }), running, NOW);
    assert.deepEqual([suspended.remove.length, suspended.status.startTime], [1, undefined]);
    assert.equal(suspended.status.conditions?.[0]?.reason, 'JobSuspended');
    const completionTime = timestamp(NOW);
    assert.equal(expiry(job({ ttlSecondsAfterFinished: 30 }, { completionTime })), NOW + 30_000);
  });

  it('writes indexes so that they can be read', () => {
    assert.equal(formatIndexes([7, 1, 2, 3, 5, 6]), '1-3,5-7');
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(50)), (indexes) => {
        assert.deepEqual(
          [...parseIndexes(formatIndexes(indexes))],
          indexes.sort((a, b) => a - b),
        );
      }),
    );
  });
});
