import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Node, Pod, Toleration } from '@enid/kube';
import { evictionTime, NOT_READY, taintsFor, UNREACHABLE, unknownConditions } from './health.ts';

const NOW = Date.parse('2026-01-01T12:00:00Z');
const node = (ready: string, spec: NonNullable<Node['spec']> = {}): Node => ({
  metadata: { name: 'n' },
  spec,
  status: { conditions: [{ type: 'Ready', status: ready }] },
});
const keys = (of: Node) => taintsFor(of, NOW).map(({ key, effect }) => `${key}:${effect}`);

describe('node health', () => {
  it('taints a node for its state, and leaves what others gave it', () => {
    const own = { key: 'gpu', effect: 'NoSchedule' };
    const trouble = (key: string) => [`${key}:NoSchedule`, `${key}:NoExecute`];
    assert.deepEqual(keys(node('False', { taints: [own] })), ['gpu:NoSchedule', ...trouble(NOT_READY)]);
    const unreachable = taintsFor(node('Unknown'), NOW);
    assert.deepEqual(keys(node('False', { taints: unreachable })), trouble(NOT_READY), 'heard of again');
    assert.deepEqual(keys(node('True', { taints: [own, ...unreachable] })), ['gpu:NoSchedule']);
    assert.deepEqual(keys(node('True', { unschedulable: true })), [
      'node.kubernetes.io/unschedulable:NoSchedule',
    ]);
    // The time since when it has been so is kept: evictions are counted from it.
    const earlier = unreachable.map((taint) => ({ ...taint, timeAdded: '2026-01-01T11:00:00Z' }));
    assert.deepEqual(taintsFor(node('Unknown', { taints: earlier }), NOW), earlier);
  });

  it('says unknown of all that a silent kubelet said, once', () => {
    const conditions = unknownConditions(node('True'), NOW)!;
    const silent = { ...node('True'), status: { conditions } };
    assert.ok(conditions.every(({ status }) => status === 'Unknown'));
    assert.deepEqual(
      conditions.map(({ type, reason }) => `${type} ${reason}`),
      [
        'Ready NodeStatusUnknown',
        ...['Memory', 'Disk', 'PID'].map((what) => `${what}Pressure NodeStatusNeverUpdated`),
      ],
    );
    assert.equal(unknownConditions(silent, NOW), undefined);
  });

  it('lets pods stay as long as they tolerate the taint', () => {
    const taints = [{ key: UNREACHABLE, effect: 'NoExecute', timeAdded: '2026-01-01T12:00:00Z' }];
    const at = (...tolerations: Toleration[]) => {
      const pod: Pod = { spec: { containers: [], tolerations } };
      return evictionTime(pod, node('Unknown', { taints }), NOW + 1_000);
    };
    const tolerate = (tolerationSeconds?: number) => ({
      key: UNREACHABLE,
      operator: 'Exists',
      tolerationSeconds,
    });
    assert.equal(at(), NOW + 1_000);
    assert.equal(at(tolerate(300)), NOW + 300_000);
    assert.equal(at(tolerate(300), tolerate(60)), NOW + 60_000);
    assert.equal(at(tolerate()), undefined);
    assert.equal(at({ key: 'other', operator: 'Exists' }), NOW + 1_000);
  });
});
