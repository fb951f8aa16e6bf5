import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApiServer, type TestApiServer } from '../apiserver.fixture.ts';

let server: TestApiServer;
let now = Date.parse('2026-01-01T00:00:00Z');
const MAPS = '/api/v1/namespaces/default/configmaps';
const PODS = '/api/v1/namespaces/default/pods';
const MERGE = { 'content-type': 'application/merge-patch+json' };

before(async () => {
  server = await startTestApiServer({ now: () => now });
  await server.must('POST /api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
  await server.must('POST /api/v1/nodes', { metadata: { name: 'n1' } });
});
after(() => server.stop());

test('what is the server’s to say of an object is the server’s', async () => {
  const made = await server.must(`POST ${MAPS}`, {
    metadata: {
      name: 'meta',
      uid: 'mine',
      creationTimestamp: '2001-01-01T00:00:00Z',
      deletionTimestamp: '2001-01-01T00:00:00Z',
      generation: 7,
      selfLink: '/x',
      labels: { a: 'b' },
    },
    data: { k: 'v' },
  });
  assert.match(made.metadata.uid, /^[0-9a-f-]{36}$/);
  assert.equal(made.metadata.creationTimestamp, '2026-01-01T00:00:00Z');
  for (const field of ['deletionTimestamp', 'generation', 'selfLink'])
    assert.equal(made.metadata[field], undefined);
  now += 60_000;
  const changed = await server.must(`PUT ${MAPS}/meta`, { metadata: { name: 'meta' }, data: { k: 'w' } });
  assert.equal(changed.metadata.uid, made.metadata.uid);
  assert.equal(changed.metadata.creationTimestamp, made.metadata.creationTimestamp);
  assert.equal(changed.metadata.labels, undefined, 'a replacement leaves nothing of the client’s');
  assert.ok(Number(changed.metadata.resourceVersion) > Number(made.metadata.resourceVersion));
  const same = await server.must(`PUT ${MAPS}/meta`, { metadata: { name: 'meta' }, data: { k: 'w' } });
  assert.equal(same.metadata.resourceVersion, changed.metadata.resourceVersion, 'no change is none');

  const versioned = await server.send(`POST ${MAPS}`, {
    body: { metadata: { name: 'x', resourceVersion: '1' } },
  });
  assert.equal(versioned.code, 400);
  assert.match(versioned.body.message, /resourceVersion should not be set on objects to be created/);
  const other = await server.send(`PUT ${MAPS}/meta`, { body: { metadata: { name: 'other' } } });
  assert.equal(other.code, 400);
  const elsewhere = await server.send(`POST ${MAPS}`, {
    body: { metadata: { name: 'x', namespace: 'kube-system' } },
  });
  assert.equal(elsewhere.code, 400);
  assert.match(elsewhere.body.message, /the namespace of the provided object does not match/);
  const kind = await server.send(`POST ${MAPS}`, {
    body: { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'x' } },
  });
  assert.equal(kind.code, 400);
});

test('generation counts what is wanted, not what is so', async () => {
  const path = '/apis/apps/v1/namespaces/default/deployments';
  const labels = { app: 'gen' };
  const spec = {
    selector: { matchLabels: labels },
    template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } },
  };
  const made = await server.must(`POST ${path}`, {
    metadata: { name: 'gen' },
    spec,
    status: { replicas: 9 },
  });
  assert.equal(made.metadata.generation, 1);
  assert.deepEqual(made.status, {}, 'nobody says what is so when it is made');
  const labelled = await server.must(`PATCH ${path}/gen`, { metadata: { labels: { a: 'b' } } }, MERGE);
  assert.equal(labelled.metadata.generation, 1);
  const said = await server.must(
    `PATCH ${path}/gen/status`,
    { status: { replicas: 3 }, spec: { replicas: 8 } },
    MERGE,
  );
  assert.deepEqual([said.metadata.generation, said.status.replicas, said.spec.replicas], [1, 3, 1]);
  const scaled = await server.must(
    `PATCH ${path}/gen`,
    { spec: { replicas: 5 }, status: { replicas: 0 } },
    MERGE,
  );
  assert.deepEqual([scaled.metadata.generation, scaled.status.replicas, scaled.spec.replicas], [2, 3, 5]);
});

test('two who change the same version: the second one hears of it', async () => {
  const first = await server.must(`POST ${MAPS}`, { metadata: { name: 'race' }, data: {} });
  const mine = { ...first, data: { by: 'me' } };
  await server.must(`PUT ${MAPS}/race`, mine);
  const late = await server.send(`PUT ${MAPS}/race`, { body: mine });
  assert.equal(late.code, 409);
  assert.equal(late.body.reason, 'Conflict');
  assert.equal(
    late.body.message,
    'Operation cannot be fulfilled on configmaps "race": the object has been modified; please apply your changes to the latest version and try again',
  );
  const twice = await server.send(`POST ${MAPS}`, { body: { metadata: { name: 'race' } } });
  assert.deepEqual([twice.code, twice.body.reason], [409, 'AlreadyExists']);
  const uid = await server.send(`DELETE ${MAPS}/race`, { body: { preconditions: { uid: 'another' } } });
  assert.equal(uid.code, 409);
  const version = await server.send(`DELETE ${MAPS}/race`, {
    body: { preconditions: { resourceVersion: first.metadata.resourceVersion } },
  });
  assert.equal(version.code, 409);
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      server.send(`PATCH ${MAPS}/race`, { body: { data: { [`k${i}`]: 'v' } }, headers: MERGE }),
    ),
  );
  assert.ok(
    answers.every(({ code }) => code === 200),
    'patches without a version all find their place',
  );
  assert.equal(Object.keys((await server.must(`${MAPS}/race`)).data).length, 21);
});

test('names are made from a prefix', async () => {
  const made = await Promise.all(
    Array.from({ length: 10 }, () => server.must(`POST ${MAPS}`, { metadata: { generateName: 'gen-' } })),
  );
  const names = new Set(made.map(({ metadata }) => metadata.name));
  assert.equal(names.size, 10);
  for (const name of names) assert.match(name, /^gen-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  const long = await server.must(`POST ${MAPS}`, { metadata: { generateName: 'x'.repeat(100) } });
  assert.equal(long.metadata.name.length, 63);
  const none = await server.send(`POST ${MAPS}`, { body: { metadata: {} } });
  assert.equal(none.code, 422);
  assert.match(none.body.message, /name or generateName is required/);
});

test('an object with finalizers goes when the last of them is taken away', async () => {
  await server.must(`POST ${MAPS}`, {
    metadata: { name: 'held', finalizers: ['a.example/x', 'b.example/y'] },
  });
  const deleting = await server.must(`DELETE ${MAPS}/held`);
  assert.ok(deleting.metadata.deletionTimestamp);
  assert.equal(deleting.metadata.deletionGracePeriodSeconds, 0);
  const again = await server.must(`DELETE ${MAPS}/held`);
  assert.equal(again.metadata.resourceVersion, deleting.metadata.resourceVersion);
  const one = await server.must(`PATCH ${MAPS}/held`, { metadata: { finalizers: ['b.example/y'] } }, MERGE);
  assert.ok(one.metadata.deletionTimestamp);
  const revived = await server.must(`PATCH ${MAPS}/held`, { metadata: { deletionTimestamp: null } }, MERGE);
  assert.ok(revived.metadata.deletionTimestamp, 'nobody takes a deletion back');
  const last = await server.must(`PATCH ${MAPS}/held`, { metadata: { finalizers: null } }, MERGE);
  assert.equal(last.metadata.finalizers, undefined);
  const gone = await server.send(`${MAPS}/held`);
  assert.equal(gone.code, 404);
  assert.deepEqual(gone.body, {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: 'configmaps "held" not found',
    reason: 'NotFound',
    details: { name: 'held', kind: 'configmaps' },
    code: 404,
  });
});

test('propagation policies are finalizers that the garbage collector acts on', async () => {
  const del = async (policy: object) => {
    await server.must(`POST ${MAPS}`, { metadata: { name: 'owner' } });
    const answer = await server.must(`DELETE ${MAPS}/owner`, policy);
    const { metadata } = answer;
    if (answer.kind !== 'Status')
      await server.must(`PATCH ${MAPS}/owner`, { metadata: { finalizers: null } }, MERGE);
    assert.equal((await server.send(`${MAPS}/owner`)).code, 404);
    return metadata.finalizers;
  };
  assert.equal(await del({ propagationPolicy: 'Background' }), undefined);
  assert.deepEqual(await del({ propagationPolicy: 'Foreground' }), ['foregroundDeletion']);
  assert.deepEqual(await del({ propagationPolicy: 'Orphan' }), ['orphan']);
  assert.deepEqual(await del({ orphanDependents: true }), ['orphan']);
  const unknown = await server.send(`DELETE ${MAPS}/owner`, { body: { propagationPolicy: 'Slowly' } });
  assert.equal(unknown.code, 422);
});

test('a pod on a node is given its time, which can only become shorter', async () => {
  const spec = { containers: [{ name: 'c', image: 'i' }], terminationGracePeriodSeconds: 20 };
  await server.must(`POST ${PODS}`, { metadata: { name: 'p' }, spec });
  const unbound = await server.must(`DELETE ${PODS}/p`);
  assert.equal(unbound.status, 'Success', 'nobody has to end what has no node');
  await server.must(`POST ${PODS}`, { metadata: { name: 'p' }, spec: { ...spec, nodeName: 'n1' } });
  const graceful = await server.must(`DELETE ${PODS}/p`);
  assert.equal(graceful.metadata.deletionGracePeriodSeconds, 20);
  assert.equal(Date.parse(graceful.metadata.deletionTimestamp), now + 20_000);
  const longer = await server.must(`DELETE ${PODS}/p?gracePeriodSeconds=60`);
  assert.deepEqual(longer.metadata, graceful.metadata);
  const shorter = await server.must(`DELETE ${PODS}/p`, { gracePeriodSeconds: 5 });
  assert.equal(shorter.metadata.deletionGracePeriodSeconds, 5);
  assert.equal((await server.must(`DELETE ${PODS}/p`, { gracePeriodSeconds: 0 })).status, 'Success');
  assert.equal((await server.send(`${PODS}/p`)).code, 404);
});

test('a dry run answers as if, and does nothing', async () => {
  const { metadata } = await server.must(MAPS);
  const before = metadata.resourceVersion;
  const made = await server.must(`POST ${MAPS}?dryRun=All`, { metadata: { name: 'dry' } });
  assert.ok(made.metadata.uid);
  assert.equal(made.metadata.resourceVersion, undefined);
  const services = '/api/v1/namespaces/default/services';
  await server.must(`POST ${services}?dryRun=All`, {
    metadata: { name: 'dry' },
    spec: { ports: [{ port: 1 }] },
  });
  await server.must(`PUT ${MAPS}/meta?dryRun=All`, { metadata: { name: 'meta' }, data: { dry: 'run' } });
  await server.must(`PATCH ${MAPS}/meta?dryRun=All`, { data: { dry: 'run' } }, MERGE);
  await server.must(`DELETE ${MAPS}/meta?dryRun=All`);
  await server.must(`DELETE ${MAPS}/meta`, { dryRun: ['All'] });
  await server.must(`DELETE ${MAPS}?dryRun=All`);
  await server.must(
    `PATCH ${MAPS}/applied?dryRun=All&fieldManager=m`,
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied' } },
    { 'content-type': 'application/apply-patch+yaml' },
  );
  assert.equal((await server.must(MAPS)).metadata.resourceVersion, before);
  const refused = await server.send(`POST ${MAPS}?dryRun=Some`, { body: { metadata: { name: 'dry' } } });
  assert.equal(refused.code, 422);
});

test('a namespace that is missing or ending takes nothing new, and ends when it is let go of', async () => {
  const missing = await server.send('POST /api/v1/namespaces/nope/configmaps', {
    body: { metadata: { name: 'x' } },
  });
  assert.equal(missing.code, 404);
  assert.equal(missing.body.message, 'namespaces "nope" not found');
  const made = await server.must('POST /api/v1/namespaces', { metadata: { name: 'ending' } });
  assert.equal(made.status.phase, 'Active');
  assert.deepEqual(made.spec.finalizers, ['kubernetes']);
  assert.equal(made.metadata.labels['kubernetes.io/metadata.name'], 'ending');
  await server.must('POST /api/v1/namespaces/ending/configmaps', { metadata: { name: 'old' } });
  const ending = await server.must('DELETE /api/v1/namespaces/ending');
  assert.equal(ending.status.phase, 'Terminating');
  const refused = await server.send('POST /api/v1/namespaces/ending/configmaps', {
    body: { metadata: { name: 'x' } },
  });
  assert.equal(refused.code, 403);
  assert.equal(refused.body.details.causes[0].reason, 'NamespaceTerminating');
  await server.must('DELETE /api/v1/namespaces/ending/configmaps/old');
  const stale = await server.send('PUT /api/v1/namespaces/ending/finalize', { body: { ...made, spec: {} } });
  assert.equal(stale.code, 409);
  const done = await server.must('PUT /api/v1/namespaces/ending/finalize', {
    ...ending,
    spec: { finalizers: [] },
  });
  assert.deepEqual(done.spec.finalizers, []);
  assert.equal((await server.send('/api/v1/namespaces/ending')).code, 404);

  const kept = await server.must('POST /api/v1/namespaces', { metadata: { name: 'kept' } });
  const free = await server.must('PUT /api/v1/namespaces/kept/finalize', {
    ...kept,
    spec: { finalizers: [] },
  });
  assert.deepEqual(free.spec.finalizers, [], 'it is stored, and the namespace stays');
  assert.equal((await server.must('DELETE /api/v1/namespaces/kept')).status, 'Success');
  const immortal = await server.send('DELETE /api/v1/namespaces/kube-system');
  assert.equal(immortal.code, 403);
  assert.match(immortal.body.message, /this namespace may not be deleted/);
});

test('scale is a view of a workload', async () => {
  const path = '/apis/apps/v1/namespaces/default/deployments/gen/scale';
  const scale = await server.must(path);
  assert.deepEqual(
    [scale.kind, scale.spec.replicas, scale.status.replicas, scale.status.selector],
    ['Scale', 5, 3, 'app=gen'],
  );
  const put = await server.must(`PUT ${path}`, { ...scale, spec: { replicas: 2 } });
  assert.equal(put.spec.replicas, 2);
  assert.equal((await server.send(`PUT ${path}`, { body: scale })).code, 409);
  assert.equal((await server.must(`PATCH ${path}`, { spec: { replicas: 4 } }, MERGE)).spec.replicas, 4);
  const jsonPatch = [{ op: 'replace', path: '/spec/replicas', value: 6 }];
  await server.must(`PATCH ${path}`, jsonPatch, { 'content-type': 'application/json-patch+json' });
  const after = await server.must('/apis/apps/v1/namespaces/default/deployments/gen');
  assert.equal(after.spec.replicas, 6);
  assert.equal(after.metadata.generation, 5);
  const negative = await server.send(`PATCH ${path}`, { body: { spec: { replicas: -1 } }, headers: MERGE });
  assert.equal(negative.code, 422);
});

test('fields that nobody knows are refused, told or dropped, as the client wants', async () => {
  const object = (name: string) => ({ metadata: { name }, data: {}, typo: { a: 1 } });
  const strict = await server.send(`POST ${MAPS}?fieldValidation=Strict`, { body: object('strict') });
  assert.equal(strict.code, 400);
  assert.match(strict.body.message, /strict decoding error: unknown field "typo"/);
  const warned = await server.send(`POST ${MAPS}`, { body: object('warned') });
  assert.equal(warned.code, 201);
  assert.equal(warned.headers.warning, '299 - "unknown field \\"typo\\""');
  assert.equal(warned.body.typo, undefined);
  const ignored = await server.send(`POST ${MAPS}?fieldValidation=Ignore`, { body: object('ignored') });
  assert.deepEqual([ignored.code, ignored.headers.warning], [201, undefined]);
});
