/** What the query of a write may say, and on whose behalf it is. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApiServer, type TestApiServer } from '../apiserver.fixture.ts';

let server: TestApiServer;
const MAPS = '/api/v1/namespaces/default/configmaps';
const MERGE = 'application/merge-patch+json';
const APPLY = 'application/apply-patch+yaml';
const map = (name: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } });

before(async () => {
  server = await startTestApiServer();
  await server.must(`POST ${MAPS}`, map('kept'));
});
after(() => server.stop());

test('options that make no sense are refused as what they are', async () => {
  const { metadata } = await server.must(`${MAPS}/kept`);
  const long = 'm'.repeat(129);
  const cases: [what: string, type: string, kind: string, causes: Record<string, string>][] = [
    [
      `POST ${MAPS}?dryRun=Some`,
      'application/json',
      'CreateOptions',
      { dryRun: 'Unsupported value: ["Some"]: supported values: "All"' },
    ],
    [
      `PUT ${MAPS}/kept?fieldValidation=No&fieldManager=${long}`,
      'application/json',
      'UpdateOptions',
      {
        fieldManager: 'Too long: may not be more than 128 bytes',
        fieldValidation: 'Unsupported value: "No": supported values: "", "Ignore", "Strict", "Warn"',
      },
    ],
    [
      `PATCH ${MAPS}/kept?fieldManager=a%0Ab`,
      MERGE,
      'PatchOptions',
      { fieldManager: 'Invalid value: "a\\nb": invalid character U+000A (at position 1)' },
    ],
    [
      `PATCH ${MAPS}/kept?force=false`,
      MERGE,
      'PatchOptions',
      { force: 'Forbidden: may not be specified for non-apply patch' },
    ],
    [
      `PATCH ${MAPS}/kept`,
      APPLY,
      'PatchOptions',
      { fieldManager: 'Required value: is required for apply patch' },
    ],
    [
      `DELETE ${MAPS}/kept?propagationPolicy=Slowly`,
      '',
      'DeleteOptions',
      {
        propagationPolicy:
          'Unsupported value: "Slowly": supported values: "Foreground", "Background", "Orphan", "nil"',
      },
    ],
    [
      `DELETE ${MAPS}?propagationPolicy=Orphan&orphanDependents=true`,
      '',
      'DeleteOptions',
      {
        propagationPolicy:
          'Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set',
      },
    ],
  ];
  for (const [what, type, kind, causes] of cases) {
    const answer = await server.send(what, {
      ...(type && { body: map('kept'), headers: { 'content-type': type } }),
    });
    assert.deepEqual([answer.code, answer.body.reason], [422, 'Invalid'], `${what}: ${answer.text}`);
    const { details, message } = answer.body;
    assert.deepEqual([details.group, details.kind, details.name], ['meta.k8s.io', kind, '']);
    assert.ok(message.startsWith(`${kind}.meta.k8s.io "" is invalid: `), message);
    const told = details.causes.map(({ field, message }: Record<string, string>) => [field, message]);
    assert.deepEqual(Object.fromEntries(told), causes, what);
  }
  assert.deepEqual((await server.must(`${MAPS}/kept`)).metadata, metadata);
});

test('a write is on behalf of the manager that it names, or else of the program that sends it', async () => {
  const managers = async (what: string, headers: Record<string, string>) => {
    const { metadata } = await server.must(
      what,
      { ...map('owned'), data: { [what.slice(0, 4)]: 'x' } },
      headers,
    );
    return metadata.managedFields.map(({ manager }: { manager: string }) => manager);
  };
  const agent = `${'long'.repeat(40)}/1.0`;
  assert.deepEqual(await managers(`POST ${MAPS}`, { 'user-agent': agent }), ['long'.repeat(32)]);
  const patch = `PATCH ${MAPS}/owned?fieldManager=${'m'.repeat(128)}`;
  assert.ok((await managers(patch, { 'content-type': MERGE })).includes('m'.repeat(128)));
  const apply = `PATCH ${MAPS}/owned?fieldManager=%C3%A9&force`;
  assert.ok((await managers(apply, { 'content-type': APPLY })).includes('é'));
});
