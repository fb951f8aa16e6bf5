import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Pod, StatefulSet } from '@enid/kube';
import { planPods } from './plan.ts';

const REVISIONS = { current: 'v1', update: 'v2' };

function set(replicas: number, spec: Partial<NonNullable<StatefulSet['spec']>> = {}): StatefulSet {
  return {
    metadata: { name: 'db' },
    spec: { replicas, selector: {}, serviceName: 'db', template: {}, ...spec },
  };
}

function pod(ordinal: number, state: 'ready' | 'starting' | 'going' = 'ready', revision = 'v2'): Pod {
  return {
    metadata: {
      name: `db-${ordinal}`,
      labels: { 'controller-revision-hash': revision },
      ...(state === 'going' && { deletionTimestamp: '2026-01-01T00:00:00Z' }),
    },
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: state === 'ready' ? 'True' : 'False' }],
    },
  };
}

function plan(of: StatefulSet, ...pods: Pod[]) {
  const { create, remove } = planPods(of, pods, REVISIONS, 0);
  return [
    create.map(({ ordinal, revision }) => `+${ordinal} ${revision}`),
    remove.map((p) => `-${p.metadata?.name}`),
  ].flat();
}

describe('StatefulSet', () => {
  it('makes pods one after another, or all at once', () => {
    assert.deepEqual(plan(set(3)), ['+0 v2']);
    assert.deepEqual(plan(set(3), pod(0, 'starting')), []);
    assert.deepEqual(plan(set(3), pod(0)), ['+1 v2']);
    assert.deepEqual(plan(set(3, { podManagementPolicy: 'Parallel' }), pod(1)), ['+0 v2', '+2 v2']);
    assert.deepEqual(plan(set(2, { ordinals: { start: 5 } })), ['+5 v2']);
  });

  it('removes the last first, and waits until it is gone and the others are well', () => {
    assert.deepEqual(plan(set(1), pod(0), pod(1), pod(2)), ['-db-2']);
    assert.deepEqual(plan(set(1), pod(0), pod(1), pod(2, 'going')), []);
    assert.deepEqual(plan(set(1), pod(0, 'starting'), pod(1)), []);
    assert.deepEqual(plan(set(1, { podManagementPolicy: 'Parallel' }), pod(0), pod(1), pod(2)), [
      '-db-2',
      '-db-1',
    ]);
  });

  it('updates from the last down to the partition, each when the one before is available', () => {
    const old = (ordinal: number) => pod(ordinal, 'ready', 'v1');
    assert.deepEqual(plan(set(3), old(0), old(1), old(2)), ['-db-2']);
    assert.deepEqual(plan(set(3), old(0), old(1), pod(2, 'going')), []);
    assert.deepEqual(plan(set(3), old(0), old(1), pod(2)), ['-db-1']);
    const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { partition: 1 } };
    assert.deepEqual(plan(set(3, { updateStrategy }), old(0), pod(1), pod(2)), []);
    assert.deepEqual(
      plan(set(3, { updateStrategy }), pod(1), pod(2)),
      ['+0 v1'],
      'below the partition as before',
    );
    assert.deepEqual(plan(set(3, { updateStrategy: { type: 'OnDelete' } }), old(0), old(1), old(2)), []);
  });
});
