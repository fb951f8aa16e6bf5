import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApiServer, type TestApiServer } from '../apiserver.fixture.ts';

let server: TestApiServer;

before(async () => {
  server = await startTestApiServer();
});
after(() => server.stop());

type Named = { name: string; verbs: string[]; kind: string; namespaced: boolean };

test('group by group, and each that is said to be served is', async () => {
  const core = await server.must('/api');
  assert.deepEqual(core.versions, ['v1']);
  const groups = await server.must('/apis');
  assert.equal(groups.kind, 'APIGroupList');
  const apps = await server.must('/apis/apps');
  assert.deepEqual(apps.preferredVersion, { groupVersion: 'apps/v1', version: 'v1' });
  const versions = [
    '/api/v1',
    ...groups.groups.map(
      (group: { preferredVersion: { groupVersion: string } }) =>
        `/apis/${group.preferredVersion.groupVersion}`,
    ),
  ];
  for (const version of versions) {
    const list = await server.must(version);
    assert.equal(list.kind, 'APIResourceList');
    for (const { name, verbs } of list.resources as Named[]) {
      if (!verbs.includes('list')) continue;
      const { code, body } = await server.send(`${version}/${name}`);
      assert.equal(code, 200, `${version}/${name}`);
      assert.ok(Array.isArray(body.items));
    }
  }
  const pods = (await server.must('/api/v1')).resources as Named[];
  assert.ok(pods.some(({ name, kind }) => name === 'pods/eviction' && kind === 'Eviction'));
});

test('all at once, in both versions, as much as group by group', async () => {
  for (const version of ['v2', 'v2beta1']) {
    for (const [path, own] of [
      ['/api', true],
      ['/apis', false],
    ] as const) {
      const answer = await server.send(path, {
        headers: {
          accept: `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList,application/json`,
        },
      });
      assert.equal(
        answer.headers['content-type'],
        `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
      );
      assert.equal(answer.body.kind, 'APIGroupDiscoveryList');
      const legacy = own ? 1 : (await server.must('/apis')).groups.length;
      assert.equal(answer.body.items.length, legacy);
      for (const { metadata, versions } of answer.body.items) {
        for (const { version: name, resources } of versions) {
          const of = await server.must(own ? `/api/${name}` : `/apis/${metadata.name}/${name}`);
          const expected = (of.resources as Named[]).map((resource) => resource.name);
          const all = resources.flatMap(
            ({ resource, subresources }: { resource: string; subresources?: { subresource: string }[] }) => [
              resource,
              ...(subresources ?? []).map(({ subresource }) => `${resource}/${subresource}`),
            ],
          );
          assert.deepEqual(all, expected);
        }
      }
    }
  }
});

test('health, version, keys, and the paths that there are', async () => {
  for (const path of ['/healthz', '/livez', '/readyz', '/readyz/ping'])
    assert.equal((await server.send(path)).text, 'ok');
  assert.equal((await server.must('/version')).major, '1');
  assert.equal((await server.must('/openid/v1/jwks')).keys[0].d, undefined, 'the public half alone');
  assert.ok((await server.must('/')).paths.includes('/apis/apps/v1'));
});

test('OpenAPI documents describe what is served, also what has just been defined', async () => {
  const paths = (await server.must('/openapi/v3')).paths;
  const url = paths['apis/apps/v1'].serverRelativeURL;
  const apps = await server.send(url);
  assert.ok(apps.body.components.schemas['io.k8s.api.apps.v1.Deployment']);
  const unchanged = await server.send(url, { headers: { 'if-none-match': String(apps.headers.etag) } });
  assert.deepEqual([unchanged.code, unchanged.text], [304, '']);
  await server.must('POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
    metadata: { name: 'things.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Cluster',
      names: { plural: 'things', kind: 'Thing' },
      versions: [
        { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } },
      ],
    },
  });
  const after = (await server.must('/openapi/v3')).paths;
  assert.ok(after['apis/example.com/v1']);
  assert.equal(after['apis/apps/v1'].serverRelativeURL, url, 'clients keep what has not changed');
  const swagger = await server.must('/openapi/v2');
  assert.ok(Object.keys(swagger.definitions).some((name) => name.endsWith('.Thing')));
  const protobuf = await server.send('/openapi/v2', {
    headers: { accept: 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf' },
  });
  assert.equal(
    protobuf.headers['content-type'],
    'application/com.github.proto-openapi.spec.v2.v1.0+protobuf',
  );
});
