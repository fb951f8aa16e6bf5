/** Scale: what may be sent, and whose the number of replicas is then. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApiServer, type TestApiServer } from '../apiserver.fixture.ts';

let server: TestApiServer;
const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments';
const WEB = `${DEPLOYMENTS}/web`;
const JSON_PATCH = 'application/json-patch+json';
const MERGE = 'application/merge-patch+json';
const STRATEGIC = 'application/strategic-merge-patch+json';
const APPLY = 'application/apply-patch+yaml';

before(async () => {
  server = await startTestApiServer();
  const labels = { app: 'web' };
  await server.must(`POST ${DEPLOYMENTS}?fieldManager=author`, {
    metadata: { name: 'web' },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    },
  });
});
after(() => server.stop());

const patch = (type: string, body: unknown, query = '') =>
  server.send(`PATCH ${WEB}/scale${query}`, { body, headers: { 'content-type': type } });
const scale = (replicas: number) => ({ apiVersion: 'autoscaling/v1', kind: 'Scale', spec: { replicas } });

/** Who owns the number, and how. */
async function owners(): Promise<string[]> {
  const { metadata } = await server.must(WEB);
  return metadata.managedFields
    .filter(
      ({ fieldsV1 }: { fieldsV1: Record<string, object> }) => 'f:replicas' in (fieldsV1['f:spec'] ?? {}),
    )
    .map((entry: Record<string, string>) =>
      [entry.manager, entry.operation, entry.apiVersion, entry.subresource].filter(Boolean).join(' '),
    );
}

test('a patch of any type sets the number, which is then owned through scale', async () => {
  assert.deepEqual(await owners(), ['author Update apps/v1']);
  const patches: [type: string, body: unknown, replicas: number][] = [
    [JSON_PATCH, [{ op: 'replace', path: '/spec/replicas', value: 2 }], 2],
    [MERGE, { spec: { replicas: 3 } }, 3],
    [STRATEGIC, { spec: { replicas: 4 } }, 4],
  ];
  for (const [i, [type, body, replicas]] of patches.entries()) {
    const answer = await patch(type, body, `?fieldManager=m${i}`);
    assert.deepEqual(
      [answer.code, answer.body.kind, answer.body.spec.replicas],
      [200, 'Scale', replicas],
      type,
    );
    assert.deepEqual(await owners(), [`m${i} Update apps/v1 scale`]);
  }
  const { generation, resourceVersion } = (await server.must(WEB)).metadata;
  assert.equal(generation, 4, 'each is a change of what is wanted');
  assert.equal((await patch(MERGE, { spec: { replicas: 4 } }, '?fieldManager=same')).code, 200);
  assert.equal((await server.must(WEB)).metadata.resourceVersion, resourceVersion);
  const got = await server.must(`${WEB}/scale`);
  await server.must(`PUT ${WEB}/scale?fieldManager=put`, { ...got, spec: { replicas: 5 } });
  assert.deepEqual(await owners(), ['put Update apps/v1 scale']);
});

test('who applies a Scale owns the number, and takes it from nobody by chance', async () => {
  const taken = await patch(APPLY, scale(6), '?fieldManager=applier');
  assert.equal(taken.code, 409);
  assert.match(taken.body.message, /conflict with "put".*: \.spec\.replicas/);
  assert.equal((await server.must(WEB)).spec.replicas, 5);
  const same = await patch(APPLY, scale(5), '?fieldManager=applier');
  assert.equal(same.body.spec.replicas, 5);
  assert.deepEqual(
    await owners(),
    ['applier Apply apps/v1 scale', 'put Update apps/v1 scale'],
    'who agree share it',
  );
  const forced = await patch(APPLY, scale(6), '?fieldManager=applier&force=true');
  assert.equal(forced.body.spec.replicas, 6);
  assert.deepEqual(await owners(), ['applier Apply apps/v1 scale']);
  const { metadata, spec } = await server.must(WEB);
  assert.equal(spec.template.spec.containers[0].image, 'i', 'nothing else is touched');
  assert.ok(metadata.managedFields.some(({ manager }: { manager: string }) => manager === 'author'));
});

test('what is no patch, or no Scale, is refused', async () => {
  const before = await server.must(WEB);
  const cases: [type: string, body: unknown, query: string, code: number, message: RegExp][] = [
    ['application/json', { spec: { replicas: 1 } }, '', 415, /application\/merge-patch\+json/],
    [APPLY, scale(1), '', 422, /fieldManager: Required value/],
    [MERGE, { spec: { replicas: 1 } }, '?force=true', 422, /force: Forbidden/],
    [APPLY, { ...scale(1), kind: 'Deployment' }, '?fieldManager=m', 400, /expected kind \(Scale\)/],
    [MERGE, { spec: { replicas: 'x' } }, '', 400, /cannot unmarshal string/],
    [MERGE, { spec: { replicas: -1 } }, '', 422, /spec\.replicas: Invalid value: -1/],
    [MERGE, { metadata: { name: 'other' } }, '', 400, /does not match the name on the URL/],
    [MERGE, { metadata: { resourceVersion: '1' } }, '', 409, /has been modified/],
  ];
  for (const [type, body, query, code, message] of cases) {
    const answer = await patch(type, body, query);
    assert.equal(answer.code, code, answer.text);
    assert.match(answer.body.message, message);
  }
  assert.deepEqual(await server.must(WEB), before);
});
