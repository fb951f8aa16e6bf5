import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Deployment, EndpointSlice, List, Node, Pod, ReplicaSet } from '@enid/kube';
import { eventually } from '@enid/kube/testing';
import { TestCluster, template } from '../shared/cluster.fixture.ts';
import { isReady } from '../shared/pods.ts';

const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments';

function deployment(name: string, replicas: number, image = 'app:1'): Deployment {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace: 'default' },
    spec: { replicas, selector: { matchLabels: { app: name } }, template: template(name, image) },
  };
}

const images = (pods: readonly Pod[]) => [...new Set(pods.map((pod) => pod.spec?.containers[0]?.image))];
const progress = ({ status }: Deployment) =>
  status?.conditions?.find(({ type }) => type === 'Progressing')?.reason;

it('rolls a Deployment out, never with too few or too many pods, stops at a broken one, and rolls back', async () => {
  await using cluster = await TestCluster.start(['node-1', 'node-2']);
  const { client } = cluster;
  await client.create(DEPLOYMENTS, deployment('web', 8));
  const get = () => client.get<Deployment>(`${DEPLOYMENTS}/web`);
  const settled = async (revision: string, image: string) => {
    const { status, metadata } = await get();
    assert.equal(metadata?.annotations?.['deployment.kubernetes.io/revision'], revision);
    assert.deepEqual([status?.updatedReplicas, status?.availableReplicas, status?.replicas], [8, 8, 8]);
    assert.deepEqual([images(cluster.podsOf('web-')), cluster.podsOf('web-').length], [[image], 8]);
    assert.equal(progress(await get()), 'NewReplicaSetAvailable');
  };
  await eventually(() => settled('1', 'app:1'));
  // Default spreading: the pods are on both nodes.
  const nodes = Map.groupBy(cluster.podsOf('web-'), (pod) => pod.spec?.nodeName);
  assert.deepEqual(
    [...nodes.values()].map((pods) => pods.length),
    [4, 4],
  );

  const seen = { fewest: 8, most: 8 };
  const unwatch = cluster.pods.onChange(() => {
    const alive = cluster.podsOf('web-').filter((pod) => !pod.metadata?.deletionTimestamp);
    seen.most = Math.max(seen.most, alive.length);
    seen.fewest = Math.min(seen.fewest, alive.filter(isReady).length);
  });
  await client.patch(`${DEPLOYMENTS}/web`, { spec: { template: template('web', 'app:2') } });
  await eventually(() => settled('2', 'app:2'), 15_000);
  unwatch();
  assert.ok(seen.fewest >= 6 && seen.most <= 10, JSON.stringify(seen));

  await client.patch(`${DEPLOYMENTS}/web`, {
    spec: { template: template('web', 'broken'), progressDeadlineSeconds: 1 },
  });
  await eventually(async () => assert.equal(progress(await get()), 'ProgressDeadlineExceeded'), 10_000);
  assert.equal(cluster.podsOf('web-').filter(isReady).length, 6);

  const sets = await client.get<List<ReplicaSet>>('/apis/apps/v1/namespaces/default/replicasets');
  const first = sets.items.find(
    (set) => set.metadata?.annotations?.['deployment.kubernetes.io/revision'] === '1',
  )!;
  const { 'pod-template-hash': _, ...labels } = first.spec!.template!.metadata!.labels!;
  // As `kubectl rollout undo --to-revision=1` does it.
  await client.patch(
    `${DEPLOYMENTS}/web`,
    [{ op: 'replace', path: '/spec/template', value: { ...first.spec!.template, metadata: { labels } } }],
    'json',
  );
  await eventually(() => settled('4', 'app:1'), 15_000);
  const names = new Set(cluster.podsOf('web-').map((pod) => pod.metadata?.labels?.['pod-template-hash']));
  assert.deepEqual([...names], [first.metadata?.labels?.['pod-template-hash']]);
  assert.deepEqual(cluster.errors, []);
});

it('gives 500 pods nodes in seconds, and their Service slices of 100', async () => {
  await using cluster = await TestCluster.start(['node-1', 'node-2', 'node-3']);
  const { client } = cluster;
  await client.create('/api/v1/namespaces/default/services', {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'many', namespace: 'default' },
    spec: { selector: { app: 'many' }, ports: [{ port: 80, targetPort: 8080 }] },
  });
  const begun = performance.now();
  await client.create(DEPLOYMENTS, deployment('many', 500));
  await eventually(
    () => assert.equal(cluster.podsOf('many-').filter((pod) => pod.spec?.nodeName).length, 500),
    30_000,
  );
  console.log(`500 pods scheduled after ${Math.round(performance.now() - begun)} ms`);
  await eventually(() => assert.equal(cluster.podsOf('many-').filter(isReady).length, 500), 30_000);
  const slices = await eventually(async () => {
    const { items } = await client.get<List<EndpointSlice>>(
      '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3Dmany',
    );
    const ready = items.flatMap(({ endpoints = [] }) =>
      endpoints.filter(({ conditions }) => conditions?.ready),
    );
    assert.equal(new Set(ready.map(({ addresses }) => addresses[0])).size, 500);
    return items;
  }, 15_000);
  console.log(`and ready in their Service after ${Math.round(performance.now() - begun)} ms`);
  assert.ok(slices.every(({ endpoints = [] }) => endpoints.length <= 100));
  const nodes = await client.get<List<Node>>('/api/v1/nodes');
  assert.equal(nodes.items.length, 3);
  assert.deepEqual(cluster.errors, []);
});
