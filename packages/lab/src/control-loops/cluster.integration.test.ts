import assert from 'node:assert/strict';
import { it } from 'node:test';
import type {
  ApiError,
  ConfigMap,
  CoreEvent,
  Deployment,
  KubeObject,
  List,
  Node,
  Pod,
  ReplicaSet,
} from '@enid/kube';
import { eventually } from '@enid/kube/testing';
import { TestCluster, template } from './shared/cluster.fixture.ts';
import { isReady } from './shared/pods.ts';

const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments';
const PODS = '/api/v1/namespaces/default/pods';
const MAPS = '/api/v1/namespaces/default/configmaps';

const deployment = (name: string, replicas: number, namespace = 'default'): Deployment => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace },
  spec: { replicas, selector: { matchLabels: { app: name } }, template: template(name) },
});
const ready = (cluster: TestCluster, name: string) => cluster.podsOf(`${name}-`).filter(isReady);
const gone = (path: string, cluster: TestCluster) =>
  eventually(() => assert.rejects(cluster.client.get(path), /not found/));

it('says why a pod finds no node, and gives it one when there is room', async () => {
  await using cluster = await TestCluster.start(['node-1']);
  const { client } = cluster;
  const big: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'big', namespace: 'default' },
    spec: {
      containers: [{ name: 'main', image: 'app', resources: { requests: { cpu: '65' } } }],
    },
  };
  await client.create(PODS, big);
  const why = /^0\/1 nodes are available: 1 Insufficient cpu\. preemption: 0\/1 nodes are available: /;
  await eventually(async () => {
    const { status } = await client.get<Pod>(`${PODS}/big`);
    const scheduled = status?.conditions?.find(({ type }) => type === 'PodScheduled');
    assert.deepEqual([scheduled?.status, scheduled?.reason], ['False', 'Unschedulable']);
    assert.match(scheduled?.message ?? '', why);
  });
  await client.patch('/api/v1/nodes/node-1/status', { status: { allocatable: { cpu: '66' } } });
  await eventually(async () => assert.equal((await client.get<Pod>(`${PODS}/big`)).spec?.nodeName, 'node-1'));
  await eventually(async () => {
    const { items } = await client.get<List<CoreEvent>>('/api/v1/namespaces/default/events');
    const told = items.filter(({ involvedObject }) => involvedObject.name === 'big');
    assert.deepEqual(told.map(({ reason }) => reason).sort(), ['FailedScheduling', 'Scheduled']);
    assert.match(told.find(({ reason }) => reason === 'FailedScheduling')!.message!, why);
  });
  assert.deepEqual(cluster.errors, []);
});

it('deletes what owners leave behind, waits for it, or frees it, as the deletion says', async () => {
  await using cluster = await TestCluster.start(['node-1']);
  const { client } = cluster;
  const sets = async (name: string) => {
    const { items } = await client.get<List<ReplicaSet>>('/apis/apps/v1/namespaces/default/replicasets');
    return items.filter(({ metadata }) => metadata?.labels?.app === name);
  };
  for (const name of ['background', 'foreground', 'orphan'])
    await client.create(DEPLOYMENTS, deployment(name, 2));
  for (const name of ['background', 'foreground', 'orphan']) {
    await eventually(() => assert.equal(ready(cluster, name).length, 2));
  }

  await client.delete(`${DEPLOYMENTS}/background`, { propagationPolicy: 'Background' });
  await eventually(() => assert.equal(cluster.podsOf('background-').length, 0));

  await client.delete(`${DEPLOYMENTS}/foreground`, { propagationPolicy: 'Foreground' });
  await gone(`${DEPLOYMENTS}/foreground`, cluster);
  assert.deepEqual(await sets('foreground'), [], 'all went before it');

  await client.delete(`${DEPLOYMENTS}/orphan`, { propagationPolicy: 'Orphan' });
  await gone(`${DEPLOYMENTS}/orphan`, cluster);
  const [left] = await sets('orphan');
  assert.deepEqual([left?.metadata?.ownerReferences ?? [], ready(cluster, 'orphan').length], [[], 2]);
  // Made anew, the Deployment takes back what is as it wants it.
  await client.create(DEPLOYMENTS, deployment('orphan', 2));
  await eventually(async () =>
    assert.equal((await sets('orphan'))[0]?.metadata?.ownerReferences?.[0]?.name, 'orphan'),
  );
  assert.equal((await sets('orphan')).length, 1);

  // Owners of any kind count, custom ones too.
  await client.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'things.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'things', singular: 'thing', kind: 'Thing' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        },
      ],
    },
  });
  const things = '/apis/example.com/v1/namespaces/default/things';
  const thing = {
    apiVersion: 'example.com/v1',
    kind: 'Thing',
    metadata: { name: 'a', namespace: 'default' },
  };
  const { metadata } = await eventually(() => client.create<KubeObject>(things, thing));
  const map = (name: string, uid: string): ConfigMap => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name,
      namespace: 'default',
      ownerReferences: [{ apiVersion: 'example.com/v1', kind: 'Thing', name: 'a', uid }],
    },
  });
  await client.create(MAPS, map('kept', metadata!.uid!));
  // A reference to another object of the same name is to one that is gone.
  await client.create(MAPS, map('stray', '00000000-0000-0000-0000-000000000000'));
  await gone(`${MAPS}/stray`, cluster);
  assert.ok(await client.get(`${MAPS}/kept`));
  await client.delete(`${things}/a`, { propagationPolicy: 'Background' });
  await gone(`${MAPS}/kept`, cluster);
  assert.deepEqual(cluster.errors, []);
});

it('furnishes a namespace, and empties it when it is deleted', async () => {
  await using cluster = await TestCluster.start(['node-1']);
  const { client } = cluster;
  await client.create('/api/v1/namespaces', {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'team' },
  });
  const { data } = await eventually(() =>
    client.get<ConfigMap>('/api/v1/namespaces/team/configmaps/kube-root-ca.crt'),
  );
  assert.match(data!['ca.crt']!, /^-----BEGIN CERTIFICATE-----/);
  await eventually(() => client.get('/api/v1/namespaces/team/serviceaccounts/default'));
  await client.create('/apis/apps/v1/namespaces/team/deployments', deployment('web', 3, 'team'));
  await eventually(() => assert.equal(cluster.podsOf('web-', 'team').filter(isReady).length, 3));
  await client.delete('/api/v1/namespaces/team');
  await gone('/api/v1/namespaces/team', cluster);
  assert.deepEqual([cluster.podsOf('web-', 'team'), cluster.errors], [[], []]);
});

it('moves pods away from a node that is not heard of, and forgets those of one that is gone', async () => {
  await using cluster = await TestCluster.start([], 100);
  const { client } = cluster;
  const leases = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';
  const beat = async (name: string) => {
    const spec = { holderIdentity: name, renewTime: new Date().toISOString().replace('Z', '000Z') };
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name }, spec };
    await client.patch(`${leases}/${name}`, { spec }).catch(() => client.create(leases, lease));
  };
  const alive = new Set(['node-1', 'node-2']);
  for (const name of alive) await beat(name);
  const heart = setInterval(() => {
    for (const name of alive) beat(name).catch(() => {});
  }, 50);
  try {
    for (const name of alive) await cluster.addNode(name, 'zone-0');
    await client.create(DEPLOYMENTS, deployment('web', 4));
    await eventually(() => assert.equal(ready(cluster, 'web').length, 4));
    const on = (node: string) =>
      cluster
        .podsOf('web-')
        .filter(({ spec, metadata }) => spec?.nodeName === node && !metadata?.deletionTimestamp);
    assert.equal(on('node-2').length, 2);

    cluster.silence('node-2');
    alive.delete('node-2');
    await eventually(async () => {
      const { status, spec } = await client.get<Node>('/api/v1/nodes/node-2');
      assert.equal(status?.conditions?.find(({ type }) => type === 'Ready')?.status, 'Unknown');
      assert.deepEqual(
        spec?.taints?.map(({ key, effect }) => `${key} ${effect}`),
        ['NoSchedule', 'NoExecute'].map((effect) => `node.kubernetes.io/unreachable ${effect}`),
      );
      assert.ok(on('node-2').every((pod) => !isReady(pod)));
    });
    // They tolerate it for 300 s, which is 3 s here.
    await eventually(
      () => assert.deepEqual([on('node-1').filter(isReady).length, on('node-2').length], [4, 0]),
      10_000,
    );
    assert.equal(cluster.podsOf('web-').length, 6, 'who is to end them is not there');

    await client.delete('/api/v1/nodes/node-2');
    await eventually(() => assert.equal(cluster.podsOf('web-').length, 4));
  } finally {
    clearInterval(heart);
  }
  assert.deepEqual(cluster.errors, []);
});

it('lets pods be evicted as a disruption budget allows', async () => {
  await using cluster = await TestCluster.start(['node-1', 'node-2']);
  const { client } = cluster;
  await client.create(DEPLOYMENTS, deployment('web', 3));
  await client.create('/apis/policy/v1/namespaces/default/poddisruptionbudgets', {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'web', namespace: 'default' },
    spec: { maxUnavailable: 1, selector: { matchLabels: { app: 'web' } } },
  });
  const allowed = async () => {
    const { status } = await client.get<
      { status?: { disruptionsAllowed: number; currentHealthy: number } } & KubeObject
    >('/apis/policy/v1/namespaces/default/poddisruptionbudgets/web');
    return [status?.disruptionsAllowed, status?.currentHealthy];
  };
  await eventually(async () => assert.deepEqual(await allowed(), [1, 3]));
  const evict = (pod: Pod) => {
    const { name } = pod.metadata!;
    const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: 'default' } };
    return client.create(`${PODS}/${name}/eviction`, eviction);
  };
  const before = ready(cluster, 'web');
  const results = await Promise.allSettled(before.map(evict));
  const refused = results.flatMap((result) =>
    result.status === 'rejected' ? [(result.reason as ApiError).code] : [],
  );
  assert.deepEqual(refused, [429, 429]);
  await eventually(async () => assert.deepEqual(await allowed(), [1, 3]));
  assert.equal(
    ready(cluster, 'web').filter((pod) => before.some(({ metadata }) => metadata?.uid === pod.metadata?.uid))
      .length,
    2,
  );
  assert.deepEqual(cluster.errors, []);
});

it('goes on where it was when the API server comes back', async () => {
  await using cluster = await TestCluster.start(['node-1']);
  const { client } = cluster;
  await client.create(DEPLOYMENTS, deployment('web', 2));
  await eventually(() => assert.equal(ready(cluster, 'web').length, 2));
  const before = cluster.podsOf('web-').map(({ metadata }) => metadata?.uid);
  await cluster.restartServer();
  await eventually(() => client.patch(`${DEPLOYMENTS}/web`, { spec: { replicas: 40 } }));
  await cluster.restartServer();
  await eventually(() => assert.equal(ready(cluster, 'web').length, 40), 15_000);
  const uids = cluster.podsOf('web-').map(({ metadata }) => metadata?.uid);
  assert.equal(uids.length, 40, 'none was made twice');
  assert.ok(before.every((uid) => uids.includes(uid)));
});
