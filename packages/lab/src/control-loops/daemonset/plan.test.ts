import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DaemonSet, Node, Pod, Taint } from '@enid/kube';
import { planDaemons } from './plan.ts';

const node = (name: string, taints: Taint[] = [], labels: Record<string, string> = {}): Node => ({
  metadata: { name, labels },
  spec: { taints },
});

function set(
  rollingUpdate: object = { maxUnavailable: 1 },
  nodeSelector?: Record<string, string>,
): DaemonSet {
  return {
    metadata: { name: 'ds' },
    spec: {
      selector: {},
      template: { spec: { containers: [], nodeSelector } },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate },
    },
  };
}

function pod(nodeName: string, revision = 'new', state: 'ready' | 'starting' | 'Failed' = 'ready'): Pod {
  return {
    metadata: { name: `${nodeName}-${revision}`, labels: { 'controller-revision-hash': revision } },
    spec: { nodeName, containers: [] },
    status: {
      phase: state === 'Failed' ? state : 'Running',
      conditions: [{ type: 'Ready', status: state === 'ready' ? 'True' : 'False' }],
    },
  };
}

function plan(of: DaemonSet, nodes: Node[], pods: Pod[]) {
  const { create, remove } = planDaemons(of, nodes, pods, 'new', 0);
  return [...create.map((name) => `+${name}`), ...remove.map(({ metadata }) => `-${metadata?.name}`)];
}

describe('DaemonSet', () => {
  it('is on each node that fits, whatever trouble the node is in, and on no other', () => {
    const unready = { key: 'node.kubernetes.io/not-ready', effect: 'NoExecute' };
    const cordoned = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };
    const nodes = [
      node('fine'),
      node('sick', [unready, cordoned]),
      node('closed', [{ key: 'gpu', effect: 'NoSchedule' }]),
      node('purged', [{ key: 'gpu', effect: 'NoExecute' }]),
    ];
    assert.deepEqual(plan(set(), nodes, []), ['+fine', '+sick']);
    const everywhere = nodes.map(({ metadata }) => pod(metadata!.name!));
    assert.deepEqual(plan(set(), nodes, everywhere), ['-purged-new'], 'a NoSchedule taint sends nobody away');
    assert.deepEqual(
      plan(set({}, { disk: 'ssd' }), [node('a'), node('b', [], { disk: 'ssd' })], [pod('a')]),
      ['+b', '-a-new'],
    );
    assert.deepEqual(plan(set(), [node('a')], [pod('a'), pod('lost')]), ['-lost-new']);
    assert.deepEqual(plan(set(), [node('a')], [pod('a', 'new', 'Failed')]), ['-a-new']);
  });

  it('updates as many at a time as may be unavailable, those first that are of no use', () => {
    const nodes = ['a', 'b', 'c'].map((name) => node(name));
    const old = (name: string) => pod(name, 'old');
    assert.deepEqual(plan(set(), nodes, ['a', 'b', 'c'].map(old)), ['-a-old']);
    assert.deepEqual(plan(set(), nodes, [pod('a', 'new', 'starting'), old('b'), old('c')]), []);
    assert.deepEqual(plan(set(), nodes, [old('a'), pod('b', 'old', 'starting'), old('c')]), ['-b-old']);
    assert.deepEqual(plan(set({ maxUnavailable: '60%' }), nodes, ['a', 'b', 'c'].map(old)), [
      '-a-old',
      '-b-old',
    ]);
  });

  it('lets the old one run until the new one does, with a surge', () => {
    const nodes = ['a', 'b'].map((name) => node(name));
    const surge = set({ maxSurge: 1, maxUnavailable: 0 });
    const [a, b] = [pod('a', 'old'), pod('b', 'old')];
    assert.deepEqual(plan(surge, nodes, [a, b]), ['+a']);
    assert.deepEqual(plan(surge, nodes, [a, pod('a', 'new', 'starting'), b]), []);
    assert.deepEqual(plan(surge, nodes, [a, pod('a'), b]), ['-a-old']);
  });
});
