import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Pod } from '@enid/kube';
import { inDeletionOrder } from './deletion-order.ts';

function pod(
  name: string,
  options: { node?: string; ready?: string | false; cost?: number; phase?: string; made?: string } = {},
): Pod {
  const {
    node = 'a',
    ready = '2026-01-01T00:00:00Z',
    cost,
    phase = 'Running',
    made = '2026-01-01T00:00:00Z',
  } = options;
  const annotations =
    cost === undefined ? undefined : { 'controller.kubernetes.io/pod-deletion-cost': `${cost}` };
  return {
    metadata: { name, annotations, creationTimestamp: made },
    spec: { nodeName: node || undefined, containers: [] },
    status: {
      phase,
      conditions: [
        { type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: ready || undefined },
      ],
    },
  };
}

it('deletes first what would be missed least', () => {
  const pods = [
    pod('oldest'),
    pod('young', { made: '2026-01-02T00:00:00Z' }),
    pod('ready-lately', { ready: '2026-01-03T00:00:00Z' }),
    pod('crowded', { node: 'b' }),
    pod('cheap', { cost: -1 }),
    pod('unready', { ready: false }),
    pod('pending', { phase: 'Pending', ready: false }),
    pod('unassigned', { node: '', phase: 'Pending', ready: false }),
  ];
  const related = new Map([
    ['a', 5],
    ['b', 9],
  ]);
  assert.deepEqual(
    inDeletionOrder(pods, related).map(({ metadata }) => metadata?.name),
    ['unassigned', 'pending', 'unready', 'cheap', 'crowded', 'ready-lately', 'young', 'oldest'],
  );
});
