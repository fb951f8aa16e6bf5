import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:https';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { parse } from 'yaml';
import { startTestApiServer, type TestApiServer } from '../apiserver.fixture.ts';

let server: TestApiServer;
const MAPS = '/api/v1/namespaces/default/configmaps';

before(async () => {
  server = await startTestApiServer();
});
after(() => server.stop());

test('what there is before anybody has made anything', async () => {
  const service = await server.must('/api/v1/namespaces/default/services/kubernetes');
  assert.equal(service.spec.clusterIP, '10.100.0.1');
  const endpoints = await server.must('/api/v1/namespaces/default/endpoints/kubernetes');
  const slice = await server.must('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes');
  const port = Number(new URL(server.url).port);
  assert.equal(endpoints.subsets[0].ports[0].port, port);
  assert.deepEqual([slice.endpoints[0].addresses, slice.ports[0].port], [['127.0.0.1'], port]);
  const namespaces = await server.must('/api/v1/namespaces');
  assert.deepEqual(
    namespaces.items.map(({ metadata }: { metadata: { name: string } }) => metadata.name),
    ['default', 'kube-node-lease', 'kube-public', 'kube-system'],
  );
});

test('a restart keeps everything, and versions go on', async () => {
  const made = await server.must(`POST ${MAPS}`, { metadata: { name: 'kept' }, data: { a: 'ä' } });
  await server.restart();
  const again = await server.must(`${MAPS}/kept`);
  assert.deepEqual(again, made);
  const next = await server.must(`POST ${MAPS}`, { metadata: { name: 'later' } });
  assert.ok(Number(next.metadata.resourceVersion) > Number(made.metadata.resourceVersion));
});

test('who has connected and says nothing does not hold up the end', async () => {
  const silent = connect(Number(new URL(server.url).port), '127.0.0.1');
  await once(silent, 'connect');
  const ended = once(silent, 'close');
  await server.restart();
  await ended;
  assert.equal((await server.send('/readyz')).code, 200);
});

test('errors', async () => {
  const cases: [what: string, sent: object, code: number, reason: string, message: RegExp][] = [
    ['/api/v1/namespaces/default/nopes', {}, 404, 'NotFound', /could not find the requested resource/],
    ['/apis/nope.example/v1/things', {}, 404, 'NotFound', /could not find/],
    ['/nope', {}, 404, 'NotFound', /could not find/],
    ['/api/v1/pods/p', {}, 404, 'NotFound', /are in namespaces/],
    [`${MAPS}/kept/scale`, {}, 404, 'NotFound', /configmaps\/scale/],
    [`POST ${MAPS}/kept`, { body: {} }, 405, 'MethodNotAllowed', /does not allow this method/],
    ['POST /api/v1/configmaps', { body: {} }, 405, 'MethodNotAllowed', /does not allow/],
    ['DELETE /api/v1/configmaps', {}, 405, 'MethodNotAllowed', /does not allow/],
    ['DELETE /api/v1/namespaces/default/bindings', {}, 405, 'MethodNotAllowed', /does not allow/],
    ['/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {}, 405, 'MethodNotAllowed', /does not allow/],
    [`POST ${MAPS}`, { body: '{"a":' }, 400, 'BadRequest', /couldn't parse the body as JSON/],
    [`POST ${MAPS}`, { body: '[]' }, 400, 'BadRequest', /must be an object/],
    [
      `POST ${MAPS}`,
      { body: 'a: [', headers: { 'content-type': 'application/yaml' } },
      400,
      'BadRequest',
      /as YAML/,
    ],
    [
      `POST ${MAPS}`,
      { body: '{}', headers: { 'content-type': 'text/plain' } },
      415,
      'UnsupportedMediaType',
      /unknown format/,
    ],
    [`PATCH ${MAPS}/kept`, { body: '{}' }, 415, 'UnsupportedMediaType', /application\/merge-patch\+json/],
    [
      'PATCH /api/v1/namespaces/default/pods/p/ephemeralcontainers',
      { body: '{}' },
      415,
      'UnsupportedMediaType',
      /application\/strategic-merge-patch\+json/,
    ],
    [
      `PATCH ${MAPS}/kept`,
      { body: '[]', headers: { 'content-type': 'application/merge-patch+json' } },
      400,
      'BadRequest',
      /the patch must be an object/,
    ],
    [
      `PATCH ${MAPS}/kept?fieldManager=m`,
      { body: 'null', headers: { 'content-type': 'application/apply-patch+yaml' } },
      400,
      'BadRequest',
      /the patch must be an object/,
    ],
    [`POST ${MAPS}`, { body: { metadata: [] } }, 400, 'BadRequest', /metadata must be an object/],
    [MAPS, { headers: { accept: 'image/png' } }, 406, 'NotAcceptable', /application\/json/],
    [`${MAPS}?limit=x`, {}, 400, 'BadRequest', /limit: Invalid value/],
    [`${MAPS}?watch=true&timeoutSeconds=-1`, {}, 400, 'BadRequest', /timeoutSeconds/],
    ['/api/v1/namespaces/%zz/pods', {}, 400, 'BadRequest', /malformed escape/],
    [
      `POST ${MAPS}`,
      { body: `"${'x'.repeat(3 * 1024 * 1024)}"` },
      413,
      'RequestEntityTooLarge',
      /limit is 3145728/,
    ],
    [
      `POST ${MAPS}`,
      { body: { metadata: { name: 'No Name' } } },
      422,
      'Invalid',
      /^ConfigMap "No Name" is invalid: metadata\.name: Invalid value: "No Name": a lowercase RFC 1123 subdomain/,
    ],
    [
      `POST ${MAPS}`,
      { body: { metadata: { name: 'x' }, data: { a: 1 } } },
      400,
      'BadRequest',
      /ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap\.data of type string/,
    ],
  ];
  for (const [what, sent, code, reason, message] of cases) {
    const answer = await server.send(what, sent);
    assert.deepEqual(
      [answer.code, answer.body?.reason, answer.body?.code],
      [code, reason, code],
      `${what}: ${answer.text}`,
    );
    assert.equal(answer.body.kind, 'Status');
    assert.match(answer.body.message, message, what);
  }
});

test('bodies in YAML and compressed', async () => {
  const yaml = { 'content-type': 'application/yaml', accept: 'application/yaml' };
  const made = await server.send(`POST ${MAPS}`, {
    body: 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\ndata:\n  on: "yes"\n  n: "1"\n',
    headers: yaml,
  });
  assert.equal(made.code, 201, made.text);
  assert.equal(made.headers['content-type'], 'application/yaml');
  assert.deepEqual(parse(made.text).data, { on: 'yes', n: '1' });
  const data = { padding: 'x'.repeat(200_000) };
  const answer = await sendBytes(gzipSync(JSON.stringify({ metadata: { name: 'zipped' }, data })));
  assert.equal(answer.headers['content-encoding'], 'gzip');
  assert.deepEqual(JSON.parse(gunzipSync(answer.bytes).toString()).data, data);
  const bomb = await sendBytes(gzipSync(Buffer.alloc(50 * 1024 * 1024)));
  assert.equal(bomb.code, 413);
});

function sendBytes(
  bytes: Buffer,
): Promise<{ code: number; headers: Record<string, unknown>; bytes: Buffer }> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'content-encoding': 'gzip',
      'accept-encoding': 'gzip',
    };
    const sending = request(
      server.url + MAPS,
      { method: 'POST', agent: server.agent, headers },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () =>
          resolve({ code: response.statusCode!, headers: response.headers, bytes: Buffer.concat(chunks) }),
        );
      },
    );
    sending.on('error', reject);
    sending.end(bytes);
  });
}

test('tables and bare metadata, as the client prefers them', async () => {
  const as = (kind: string) => ({
    accept: `application/json;as=${kind};v=v1;g=meta.k8s.io,application/json`,
  });
  const table = await server.must(MAPS, undefined, as('Table'));
  assert.equal(table.kind, 'Table');
  assert.ok(table.metadata.resourceVersion);
  assert.deepEqual(table.columnDefinitions[0].name, 'Name');
  assert.equal(table.rows[0].object.kind, 'PartialObjectMetadata');
  const whole = await server.must(`${MAPS}?includeObject=Object&limit=1`, undefined, as('Table'));
  assert.equal(whole.rows.length, 1);
  assert.ok(whole.metadata.continue);
  assert.deepEqual(whole.rows[0].object.data, { a: 'ä' });
  assert.deepEqual([whole.rows[0].object.apiVersion, whole.rows[0].object.kind], ['v1', 'ConfigMap']);
  const one = await server.must(`${MAPS}/kept`, undefined, as('Table'));
  assert.deepEqual(one.rows[0].cells.slice(0, 2), ['kept', 1]);
  const list = await server.must(MAPS, undefined, as('PartialObjectMetadataList'));
  assert.equal(list.kind, 'PartialObjectMetadataList');
  assert.equal(list.items[0].data, undefined);
  const head = await server.send(`HEAD ${MAPS}/kept`);
  assert.deepEqual([head.code, head.text], [200, '']);
});

test('names that JavaScript has a use for are names like others', async () => {
  const body =
    '{"metadata":{"name":"proto","labels":{"constructor":"a"}},"data":{"__proto__":"x","toString":"y"}}';
  const made = await server.send(`POST ${MAPS}`, { body });
  assert.equal(made.code, 201, made.text);
  const found = await server.send(`${MAPS}?labelSelector=constructor%3Da`);
  assert.match(found.text, /"__proto__":"x"/);
  assert.equal(found.body.items.length, 1);
  const all = (await server.must(MAPS)).items.length;
  assert.equal((await server.must(`${MAPS}?labelSelector=!toString`)).items.length, all);
});
