import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { ControllerRevision, DaemonSet, Job, List, Pod, StatefulSet } from '@enid/kube';
import { eventually } from '@enid/kube/testing';
import { TestCluster, template } from './shared/cluster.fixture.ts';
import { isReady } from './shared/pods.ts';

const APPS = '/apis/apps/v1/namespaces/default';
const JOBS = '/apis/batch/v1/namespaces/default/jobs';
const meta = (name: string) => ({ name, namespace: 'default' });
const imageOf = (pod: Pod) => pod.spec?.containers[0]?.image;
const nameOf = (pod: Pod) => pod.metadata?.name;

it('keeps a daemon on each node, on new ones too, and updates them one after another', async () => {
  await using cluster = await TestCluster.start(['node-1', 'node-2']);
  const { client } = cluster;
  await client.create<DaemonSet>(`${APPS}/daemonsets`, {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: meta('agent'),
    spec: { selector: { matchLabels: { app: 'agent' } }, template: template('agent') },
  });
  await client.patch('/api/v1/nodes/node-2', { spec: { unschedulable: true } });
  await cluster.addNode('node-3', 'zone-0', { taints: [{ key: 'gpu', effect: 'NoSchedule' }] });
  await cluster.addNode('node-4', 'zone-1');
  const nodes = () =>
    cluster
      .podsOf('agent-')
      .filter(isReady)
      .map(({ spec }) => spec?.nodeName)
      .sort();
  await eventually(() => assert.deepEqual(nodes(), ['node-1', 'node-2', 'node-4']));

  let fewest = 3;
  const unwatch = cluster.pods.onChange(() => {
    fewest = Math.min(
      fewest,
      cluster.podsOf('agent-').filter((pod) => isReady(pod) && !pod.metadata?.deletionTimestamp).length,
    );
  });
  await client.patch(`${APPS}/daemonsets/agent`, { spec: { template: template('agent', 'app:2') } });
  await eventually(async () => {
    const { status } = await client.get<DaemonSet>(`${APPS}/daemonsets/agent`);
    assert.deepEqual(
      [status?.updatedNumberScheduled, status?.numberAvailable, status?.desiredNumberScheduled],
      [3, 3, 3],
    );
    assert.deepEqual([...new Set(cluster.podsOf('agent-').map(imageOf))], ['app:2']);
  });
  unwatch();
  assert.equal(fewest, 2);
  const { items } = await client.get<List<ControllerRevision>>(`${APPS}/controllerrevisions`);
  assert.deepEqual(items.map(({ revision }) => revision).sort(), [1, 2]);
  assert.deepEqual(cluster.errors, []);
});

it('makes, updates and removes the numbered pods of a StatefulSet in order', async () => {
  await using cluster = await TestCluster.start(['node-1']);
  const { client } = cluster;
  const order: string[] = [];
  cluster.pods.onChange((old, now) => {
    if (!old && now) order.push(`+${nameOf(now)}`);
    if (!now && old) order.push(`-${nameOf(old)}`);
  });
  await client.create<StatefulSet>(`${APPS}/statefulsets`, {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: meta('db'),
    spec: {
      replicas: 3,
      serviceName: 'db',
      selector: { matchLabels: { app: 'db' } },
      template: template('db'),
    },
  });
  const settled = async (replicas: number, image: string) => {
    const { status } = await client.get<StatefulSet>(`${APPS}/statefulsets/db`);
    assert.deepEqual(
      [status?.readyReplicas, status?.updatedReplicas, status?.replicas],
      Array(3).fill(replicas),
    );
    assert.equal(status?.currentRevision, status?.updateRevision);
    assert.deepEqual([...new Set(cluster.podsOf('db-').map(imageOf))], [image]);
  };
  await eventually(() => settled(3, 'app:1'));
  await client.patch(`${APPS}/statefulsets/db`, { spec: { template: template('db', 'app:2') } });
  await eventually(() => settled(3, 'app:2'));
  await client.patch(`${APPS}/statefulsets/db/scale`, { spec: { replicas: 1 } });
  await eventually(() => settled(1, 'app:2'));
  const made = ['+db-0', '+db-1', '+db-2'];
  const updated = ['-db-2', '+db-2', '-db-1', '+db-1', '-db-0', '+db-0'];
  assert.deepEqual(order, [...made, ...updated, '-db-2', '-db-1']);
  assert.deepEqual(cluster.errors, []);
});

it('runs Jobs to their end, and removes them and their pods in time', async () => {
  await using cluster = await TestCluster.start(['node-1'], 20);
  const { client } = cluster;
  cluster.outcome = (pod) => (nameOf(pod)?.startsWith('bad') ? 'Failed' : 'Succeeded');
  const job = (name: string, spec: object): Job => ({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: meta(name),
    spec: {
      template: { spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'job' }] } },
      ...spec,
    },
  });
  await client.create(
    JOBS,
    job('good', { completions: 5, parallelism: 2, completionMode: 'Indexed', ttlSecondsAfterFinished: 40 }),
  );
  await client.create(JOBS, job('bad', { backoffLimit: 1 }));
  const get = (name: string) => client.get<Job>(`${JOBS}/${name}`);
  const last = ({ status }: Job) => status?.conditions?.at(-1);
  await eventually(async () => {
    const good = await get('good');
    assert.deepEqual(
      [last(good)?.type, good.status?.completedIndexes, good.status?.succeeded],
      ['Complete', '0-4', 5],
    );
  });
  assert.equal(cluster.podsOf('good-').length, 5);
  // The second try is made 10 s after the first has failed, which is half a second here.
  await eventually(async () => assert.equal(last(await get('bad'))?.reason, 'BackoffLimitExceeded'));
  assert.equal(cluster.podsOf('bad-').length, 2);
  await eventually(() => assert.rejects(get('good'), /not found/));
  await eventually(() => assert.equal(cluster.podsOf('good-').length, 0));
  assert.deepEqual(cluster.errors, []);
});
