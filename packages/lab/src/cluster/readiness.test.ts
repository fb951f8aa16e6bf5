import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DaemonSet, Node, Pod, PodSpec } from '@enid/kube';
import { unreadyDeployments, unreadyNodes } from './readiness.ts';

const record = (name: string) => ({ name, dnsName: `${name}.internal` });
const node = (name: string, ready: string, labels = {}): Node => ({
  metadata: { name: `${name}.internal`, labels },
  status: { conditions: [{ type: 'Ready', status: ready }] },
});
const daemonSet = (name: string, spec: Partial<PodSpec> = {}): DaemonSet => ({
  metadata: { name, uid: `uid-${name}` },
  spec: { selector: {}, template: { spec: { containers: [], ...spec } } },
});
const daemon = (set: string, on: string, ready = 'True', deletionTimestamp?: string): Pod => ({
  metadata: {
    name: `${set}-${on}`,
    ownerReferences: [
      { apiVersion: 'apps/v1', kind: 'DaemonSet', name: set, uid: `uid-${set}`, controller: true },
    ],
    ...(deletionTimestamp && { deletionTimestamp }),
  },
  spec: { nodeName: `${on}.internal`, containers: [] },
  status: { conditions: [{ type: 'Ready', status: ready }] },
});

test('a node waits for its own daemons, and not for what is on others', () => {
  const daemonSets = [daemonSet('net'), daemonSet('gpu', { nodeSelector: { gpu: 'yes' } })];
  const nodes = [node('stopped', 'Unknown'), node('new', 'True'), node('gpu', 'True', { gpu: 'yes' })];
  const left = (names: string[], ...pods: Pod[]) =>
    unreadyNodes(names.map(record), {
      nodes,
      daemonSets,
      pods: [daemon('net', 'stopped', 'False'), ...pods],
    });
  assert.deepEqual(left(['new'], daemon('net', 'new')), []);
  assert.deepEqual(left(['new', 'stopped'], daemon('net', 'new')), ['stopped']);
  assert.deepEqual(left(['late']), ['late']);
  assert.deepEqual(left(['new']), ['net on new']);
  assert.deepEqual(left(['new'], daemon('net', 'new', 'False')), ['net on new']);
  assert.deepEqual(left(['new'], daemon('net', 'new', 'True', '2026-01-01T00:00:00Z')), ['net on new']);
  assert.deepEqual(left(['new'], daemon('gpu', 'new')), ['net on new']);
  assert.deepEqual(left(['gpu'], daemon('net', 'gpu')), ['gpu on gpu']);
  assert.deepEqual(left(['gpu'], daemon('net', 'gpu'), daemon('gpu', 'gpu')), []);
});

test('a Deployment is waited for until all of its pods are ready', () => {
  const deployment = (name: string, replicas: number, readyReplicas?: number) => ({
    metadata: { name },
    spec: { replicas, selector: {}, template: {} },
    status: readyReplicas === undefined ? {} : { readyReplicas },
  });
  assert.deepEqual(unreadyDeployments([deployment('a', 2, 2), deployment('b', 2, 1), deployment('c', 1)]), [
    'b',
    'c',
  ]);
});
