import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { KubeClient, Node, Pod } from '@enid/kube';
import { systemClock } from '@enid/kube';
import type { Cluster } from '../shared/cluster.ts';
import { startScheduler } from './scheduler.ts';

/** A cluster of one node in which pods come to be when a test says so. @param bound told of each binding as it begins. */
function clusterOf(node: Node, bound: (pod: string) => void) {
  const pods = new Map<string, Pod>();
  let told: (old: Pod | undefined, now: Pod | undefined) => void = () => {};
  const nothing = { onChange: () => () => {}, get: () => undefined, by: () => [], list: () => [] };
  const state = {
    pods: {
      ...nothing,
      get: (key: string) => pods.get(key),
      onChange: (handler: typeof told) => {
        told = handler;
        return () => {};
      },
    },
    nodes: { ...nothing, list: () => [node] },
    namespaces: nothing,
    services: nothing,
    replicaSets: nothing,
    statefulSets: nothing,
  };
  const client = {
    create: async (path: string) => bound(path.split('/').at(-2)!),
    patch: async () => {},
  };
  const cluster = {
    state,
    client: client as unknown as KubeClient,
    clock: systemClock,
    recorder: () => ({ event: () => {} }),
    onError: (error: Error) => assert.fail(error),
  } as unknown as Cluster;
  const make = (name: string) => {
    const pod = {
      metadata: { name, namespace: 'default', uid: name },
      spec: { containers: [{ name: 'c' }] },
    } as Pod;
    pods.set(`default/${name}`, pod);
    told(undefined, pod);
  };
  return { cluster, make };
}

it('takes a pod that comes in the very moment in which none was left', async (t) => {
  const node = {
    metadata: { name: 'n' },
    spec: {},
    status: { allocatable: { cpu: '2', memory: '4Gi', pods: '10' } },
  } as unknown as Node;
  const both = Promise.withResolvers<void>();
  const bound: string[] = [];
  const { cluster, make } = clusterOf(node, (pod) => {
    bound.push(pod);
    // After the step in which the scheduler finds that nothing is left, and before anything else.
    if (pod === 'first') queueMicrotask(() => make('second'));
    else both.resolve();
  });
  const scheduler = startScheduler(cluster);
  t.after(() => scheduler.close());
  make('first');
  await Promise.race([both.promise, new Promise((resolve) => setTimeout(resolve, 2000).unref())]);
  assert.deepEqual(bound, ['first', 'second']);
});
