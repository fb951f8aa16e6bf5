/** Bodies that go deep: what can be held is, in every way of writing, and what cannot is the client's fault. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApiServer, type TestAnswer, type TestApiServer } from '../apiserver.fixture.ts';
import { DEEPEST } from '../depth.ts';

let server: TestApiServer;
const MAPS = '/api/v1/namespaces/default/configmaps';
const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const FREE = '/apis/example.com/v1/frees';
const STRICT = '/apis/example.com/v1/stricts';

const definition = (kind: string, openAPIV3Schema: object) => ({
  metadata: { name: `${kind.toLowerCase()}s.example.com` },
  spec: {
    group: 'example.com',
    scope: 'Cluster',
    names: { plural: `${kind.toLowerCase()}s`, kind },
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema } }],
  },
});

/** Objects in one another, as text. */
const nested = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
/** A schema of as many levels. */
const nestedSchema = (levels: number): object => {
  let schema: object = { type: 'integer' };
  for (let i = 0; i < levels; i += 1) schema = { type: 'object', properties: { a: schema } };
  return schema;
};
/** A schema is two levels to each of the object's, below six of the definition. */
const SCHEMA_LEVELS = Math.floor((DEEPEST - 8) / 2);

before(async () => {
  server = await startTestApiServer();
  const anything = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  await server.must(`POST ${DEFINITIONS}`, definition('Free', anything));
  const properties = { spec: nestedSchema(SCHEMA_LEVELS) };
  await server.must(`POST ${DEFINITIONS}`, definition('Strict', { type: 'object', properties }));
  await server.must(`POST ${FREE}`, { metadata: { name: 'one' } });
  await server.must(`POST ${MAPS}`, { metadata: { name: 'one' } });
});
after(() => server.stop());

/** Sends an object whose spec has so many levels, in all ways in which one can write. */
async function write(levels: number, name: string): Promise<TestAnswer[]> {
  const object = (named: string) => `{"metadata":{"name":"${named}"},"spec":${nested(levels)}}`;
  const yaml = (named: string) =>
    `metadata: {name: ${named}}\nspec: ${nested(levels).replaceAll('"', '').replaceAll(':', ': ')}\n`;
  const ways: [what: string, body: string, type: string][] = [
    [`POST ${FREE}`, object(name), 'json'],
    [`POST ${FREE}`, yaml(`${name}-yaml`), 'yaml'],
    [`PATCH ${FREE}/one`, object('one'), 'merge-patch+json'],
    [`PATCH ${FREE}/one?fieldManager=m&force=true`, object('one'), 'apply-patch+yaml'],
    [`PATCH ${FREE}/one?fieldManager=n&force=true`, yaml('one'), 'apply-patch+yaml'],
    [`PATCH ${FREE}/one`, `[{"op":"add","path":"/spec","value":${nested(levels)}}]`, 'json-patch+json'],
    [`PATCH ${MAPS}/one`, object('one'), 'strategic-merge-patch+json'],
  ];
  const answers: TestAnswer[] = [];
  for (const [what, body, type] of ways) {
    answers.push(await server.send(what, { body, headers: { 'content-type': `application/${type}` } }));
  }
  return answers;
}

test('as deep as can be is stored and shown', async () => {
  // Beside the spec there is a level for the whole, or a list and an operation, and what says who owns which fields.
  for (const answer of await write(DEEPEST - 10, 'deep'))
    assert.ok(answer.code < 300, answer.text.slice(0, 200));
  const { spec, metadata } = await server.must(`${FREE}/deep`);
  assert.equal(JSON.stringify(spec), nested(DEEPEST - 10));
  const back = { metadata: { name: 'deep', resourceVersion: metadata.resourceVersion }, spec };
  assert.equal(
    (await server.must(`PUT ${FREE}/deep`, back)).metadata.resourceVersion,
    metadata.resourceVersion,
  );
  const strict = `{"metadata":{"name":"deep"},"spec":${nested(SCHEMA_LEVELS)}}`;
  const made = await server.send(`POST ${STRICT}`, { body: strict });
  assert.equal(made.code, 201, made.text.slice(0, 200));
  const wrong = `{"metadata":{"name":"wrong"},"spec":${nested(SCHEMA_LEVELS).replace('1', '"x"')}}`;
  assert.equal((await server.send(`POST ${STRICT}`, { body: wrong })).code, 422);
  await server.restart();
  assert.equal(JSON.stringify((await server.must(`${FREE}/deep`)).spec), nested(DEEPEST - 10));
});

test('deeper is refused, however deep', async () => {
  const before = await server.must(`${FREE}/one`);
  for (const levels of [DEEPEST, 2000, 20_000]) {
    for (const { code, body } of await write(levels, `deep-${levels}`)) {
      assert.deepEqual([code, body.reason], [400, 'BadRequest']);
      assert.match(body.message, /it is nested more than 500 levels deep$/);
    }
  }
  for (const body of [`${'['.repeat(1e6)}${']'.repeat(1e6)}`, nested(400_000)]) {
    const { code, message } = (await server.send(`POST ${FREE}`, { body })).body;
    assert.deepEqual(
      [code, message],
      [400, "couldn't parse the body: it is nested more than 500 levels deep"],
    );
  }
  assert.deepEqual(await server.must(`${FREE}/one`), before);
});

test('patches that make an object deep, or long, are refused', async () => {
  await server.must(`POST ${FREE}`, { metadata: { name: 'growing' }, x: 1 });
  const patch = (operations: object[]) =>
    server.send(`PATCH ${FREE}/growing`, {
      body: operations,
      headers: { 'content-type': 'application/json-patch+json' },
    });
  const half = JSON.parse(nested(DEEPEST / 2));
  const down = '/a'.repeat(DEEPEST / 2 - 1);
  const deeper = (i: number) => [
    { op: 'add', path: `/y${i}`, value: half },
    { op: 'move', from: i === 0 ? '/x' : `/y${i - 1}`, path: `/y${i}${down}` },
  ];
  const moved = await patch(Array.from({ length: 500 }, (_, i) => deeper(i)).flat());
  assert.deepEqual([moved.code, moved.body.reason], [400, 'BadRequest'], moved.text.slice(0, 200));
  const copied = await patch([
    ...Array.from({ length: 50 }, (_, i) => deeper(i)).flat(),
    { op: 'copy', from: '/y49', path: '/z' },
  ]);
  assert.deepEqual([copied.code, copied.body.reason], [400, 'BadRequest'], copied.text.slice(0, 200));
  const doubled = await patch([
    { op: 'add', path: '/x', value: { b: 'x'.repeat(1000) } },
    ...Array.from({ length: 60 }, (_, i) => ({ op: 'copy', from: '/x', path: `/x/c${i}` })),
  ]);
  assert.deepEqual([doubled.code, doubled.body.reason], [422, 'Invalid']);
  assert.match(doubled.body.message, /accumulated size increase of copy is \d+, exceeding the limit 3145728/);
  assert.equal((await server.must(`${FREE}/growing`)).x, 1);
});
