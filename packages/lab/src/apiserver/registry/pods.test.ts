import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApiServer, type TestApiServer } from '../apiserver.fixture.ts';

let server: TestApiServer;
const PODS = '/api/v1/namespaces/default/pods';
const BUDGETS = '/apis/policy/v1/namespaces/default/poddisruptionbudgets';
const MERGE = { 'content-type': 'application/merge-patch+json' };
const spec = { containers: [{ name: 'c', image: 'i' }] };

before(async () => {
  server = await startTestApiServer();
});
after(() => server.stop());

test('a pod is given its account, token, priority, tolerations and class', async () => {
  const early = await server.send(`POST ${PODS}`, { body: { metadata: { name: 'p' }, spec } });
  assert.equal(early.code, 403);
  assert.match(early.body.message, /serviceaccount "default" not found/);
  await server.must('POST /api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
  const pod = await server.must(`POST ${PODS}`, {
    metadata: { name: 'p' },
    spec: { ...spec, priorityClassName: 'system-node-critical' },
    status: { phase: 'Running' },
  });
  assert.equal(pod.spec.serviceAccountName, 'default');
  assert.equal(pod.spec.priority, 2_000_001_000);
  assert.equal(pod.status.phase, 'Pending');
  assert.equal(pod.status.qosClass, 'BestEffort');
  assert.match(pod.spec.volumes[0].name, /^kube-api-access-/);
  assert.equal(
    pod.spec.containers[0].volumeMounts[0].mountPath,
    '/var/run/secrets/kubernetes.io/serviceaccount',
  );
  assert.equal(pod.spec.tolerations.length, 2);
  const amount = { cpu: '1', memory: '1Gi' };
  const guaranteed = await server.must(`POST ${PODS}`, {
    metadata: { name: 'g' },
    spec: {
      containers: [{ name: 'c', image: 'i', resources: { limits: amount } }],
      automountServiceAccountToken: false,
    },
  });
  assert.equal(guaranteed.status.qosClass, 'Guaranteed');
  assert.equal(guaranteed.spec.volumes, undefined);
});

test('a pod is bound once', async () => {
  const bound = await server.send(`POST ${PODS}/p/binding`, {
    body: { target: { kind: 'Node', name: 'n1' } },
  });
  assert.equal(bound.code, 201);
  const again = await server.send('POST /api/v1/namespaces/default/bindings', {
    body: { metadata: { name: 'p' }, target: { kind: 'Node', name: 'n2' } },
  });
  assert.equal(again.code, 409);
  assert.match(again.body.message, /pod p is already assigned to node "n1"/);
  const pod = await server.must(`${PODS}/p`);
  assert.equal(pod.spec.nodeName, 'n1');
  assert.equal(pod.status.conditions[0].type, 'PodScheduled');
});

test('an eviction spends of the budget, and is refused when there is nothing left', async () => {
  const names = ['e1', 'e2', 'e3'];
  for (const name of names) {
    await server.must(`POST ${PODS}`, { metadata: { name, labels: { app: 'e' } }, spec });
    await server.must(
      `PATCH ${PODS}/${name}/status`,
      { status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } },
      MERGE,
    );
  }
  await server.must(`POST ${BUDGETS}`, {
    metadata: { name: 'b' },
    spec: { minAvailable: 2, selector: { matchLabels: { app: 'e' } } },
  });
  const evict = (name: string, query = '') =>
    server.send(`POST ${PODS}/${name}/eviction${query}`, {
      body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name } },
    });
  const early = await evict('e1');
  assert.equal(early.code, 429);
  assert.equal(early.headers['retry-after'], '10');
  assert.match(early.body.details.causes[0].message, /still being processed/);
  const status = {
    observedGeneration: 1,
    disruptionsAllowed: 1,
    currentHealthy: 3,
    desiredHealthy: 2,
    expectedPods: 3,
  };
  await server.must(`PATCH ${BUDGETS}/b/status`, { status }, MERGE);
  assert.equal((await evict('e1', '?dryRun=All')).code, 201);
  assert.equal((await server.must(`${BUDGETS}/b`)).status.disruptionsAllowed, 1, 'a dry run spends nothing');
  assert.equal((await evict('e1')).code, 201);
  assert.equal((await server.send(`${PODS}/e1`)).code, 404);
  const { status: spent } = await server.must(`${BUDGETS}/b`);
  assert.equal(spent.disruptionsAllowed, 0);
  assert.deepEqual(Object.keys(spent.disruptedPods), ['e1']);
  const refused = await evict('e2');
  assert.equal(refused.code, 429);
  assert.equal(refused.body.message, "Cannot evict pod as it would violate the pod's disruption budget.");
  assert.match(refused.body.details.causes[0].message, /needs 2 healthy pods and has 3 currently/);
  // One that is not ready does not count while enough others are.
  await server.must(
    `PATCH ${PODS}/e3/status`,
    { status: { conditions: [{ type: 'Ready', status: 'False' }] } },
    MERGE,
  );
  assert.equal((await evict('e3')).code, 201);
  assert.equal((await server.send(`${PODS}/e3`)).code, 404);
});
