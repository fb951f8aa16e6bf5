import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startTestApiServer, type TestApiServer } from '../apiserver.fixture.ts';
import { openWatch } from '../watch/watch.fixture.ts';

let server: TestApiServer;
const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const V1 = '/apis/example.com/v1/namespaces/default/widgets';
const V2 = '/apis/example.com/v2/namespaces/default/widgets';
const MERGE = { 'content-type': 'application/merge-patch+json' };

before(async () => {
  server = await startTestApiServer();
});
after(() => server.stop());

function version(name: string, extra: object): object {
  const properties = {
    color: { type: 'string', default: 'red', enum: ['red', 'blue'] },
    replicas: { type: 'integer', minimum: 0, maximum: 9 },
    ports: {
      type: 'array',
      items: { type: 'object', required: ['port'], properties: { port: { type: 'integer' } } },
    },
    ...extra,
  };
  return {
    name,
    served: true,
    storage: name === 'v1',
    schema: {
      openAPIV3Schema: {
        type: 'object',
        properties: {
          spec: { type: 'object', properties },
          status: {
            type: 'object',
            properties: { replicas: { type: 'integer' }, selector: { type: 'string' } },
          },
        },
      },
    },
    subresources: {
      status: {},
      scale: {
        specReplicasPath: '.spec.replicas',
        statusReplicasPath: '.status.replicas',
        labelSelectorPath: '.status.selector',
      },
    },
    selectableFields: [{ jsonPath: '.spec.color' }],
    additionalPrinterColumns: [{ name: 'Color', type: 'string', jsonPath: '.spec.color' }],
  };
}

const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.example.com' },
  spec: {
    group: 'example.com',
    scope: 'Namespaced',
    names: { plural: 'widgets', kind: 'Widget', shortNames: ['wd'] },
    versions: [
      version('v1', { old: { type: 'string' } }),
      { ...version('v2', { size: { type: 'string', default: 'big' } }), deprecated: true },
    ],
  },
};

const widget = (name: string, spec: object = {}) => ({
  apiVersion: 'example.com/v1',
  kind: 'Widget',
  metadata: { name },
  spec,
});

test('what a definition says is served at once, in each version', async () => {
  assert.equal((await server.send(V1)).code, 404);
  const made = await server.must(`POST ${DEFINITIONS}`, definition);
  assert.deepEqual(
    made.status.conditions.map(({ type, status }: { type: string; status: string }) => `${type} ${status}`),
    ['NamesAccepted True', 'Established True'],
  );
  assert.deepEqual(made.status.storedVersions, ['v1']);
  assert.equal(made.spec.names.listKind, 'WidgetList');
  assert.equal((await server.must(V1)).kind, 'WidgetList');
  const created = await server.send(`POST ${V1}`, {
    body: { ...widget('w', { old: 'x', extra: 1, replicas: 2 }), status: { replicas: 5 } },
  });
  assert.equal(created.code, 201, created.text);
  assert.deepEqual(created.body.spec, { color: 'red', old: 'x', replicas: 2 }, 'completed and pruned');
  assert.equal(created.body.status, undefined);
  assert.match(String(created.headers.warning), /unknown field \\"spec\.extra\\"/);
  const seen = await server.send(`${V2}/w`);
  assert.equal(seen.body.apiVersion, 'example.com/v2');
  // What it was stored without, the version completes that it was stored in.
  assert.deepEqual(seen.body.spec, { color: 'red', replicas: 2 }, 'as that version knows it');
  assert.match(String(seen.headers.warning), /example\.com\/v2 Widget is deprecated/);
  const list = await server.must(V2);
  assert.deepEqual([list.items[0].apiVersion, list.items[0].kind], ['example.com/v2', 'Widget']);
});

test('values are checked by the schema', async () => {
  const bad = await server.send(`POST ${V1}`, {
    body: widget('bad', { color: 'green', replicas: 10, ports: [{}, { port: 'x' }] }),
  });
  assert.equal(bad.code, 422);
  const fields = bad.body.details.causes.map(({ field }: { field: string }) => field);
  assert.deepEqual(fields.sort(), [
    'spec.color',
    'spec.ports[0].port',
    'spec.ports[1].port',
    'spec.replicas',
  ]);
  assert.match(bad.body.message, /^Widget\.example\.com "bad" is invalid: \[/);
  const strategic = await server.send(`PATCH ${V1}/w`, {
    body: {},
    headers: { 'content-type': 'application/strategic-merge-patch+json' },
  });
  assert.equal(strategic.code, 415);
});

test('a watch of one version hears of changes through another', async (t) => {
  const watch = await openWatch(server, V2);
  t.after(() => watch.stop());
  assert.deepEqual(await watch.take(1), ['ADDED w']);
  await server.must(`PATCH ${V1}/w`, { spec: { color: 'blue' } }, MERGE);
  const { type, object } = (await watch.next())!;
  assert.deepEqual([type, object.apiVersion, object.spec.color], ['MODIFIED', 'example.com/v2', 'blue']);
});

test('status, scale, selectable fields and columns', async () => {
  const before = await server.must(`${V1}/w`);
  const said = await server.must(
    `PATCH ${V1}/w/status`,
    { status: { replicas: 1, selector: 'a=b' }, spec: { color: 'red' } },
    MERGE,
  );
  assert.deepEqual([said.spec.color, said.status.replicas], ['blue', 1]);
  assert.equal(said.metadata.generation, before.metadata.generation);
  const wrong = await server.send(`PATCH ${V1}/w/status`, {
    body: { status: { replicas: 'x' } },
    headers: MERGE,
  });
  assert.equal(wrong.code, 422, 'the schema is of the status, too');
  const scale = await server.must(`${V1}/w/scale`);
  assert.deepEqual([scale.spec, scale.status], [{ replicas: 2 }, { replicas: 1, selector: 'a=b' }]);
  await server.must(`PUT ${V1}/w/scale`, { ...scale, spec: { replicas: 7 } });
  const after = await server.must(`${V1}/w`);
  assert.deepEqual([after.spec.replicas, after.metadata.generation], [7, before.metadata.generation + 1]);
  await server.must(`POST ${V1}`, widget('red'));
  const red = await server.must(`${V1}?fieldSelector=spec.color%3Dred`);
  assert.deepEqual(
    red.items.map((item: { metadata: { name: string } }) => item.metadata.name),
    ['red'],
  );
  const table = await server.must(V1.concat(''), undefined, {
    accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
  });
  assert.deepEqual(
    table.columnDefinitions.map(({ name }: { name: string }) => name),
    ['Name', 'Color'],
  );
  assert.deepEqual(
    table.rows.map(({ cells }: { cells: unknown[] }) => cells),
    [
      ['red', 'red'],
      ['w', 'blue'],
    ],
  );
});

test('a replacement names the version that it replaces', async () => {
  const blind = await server.send(`PUT ${V1}/w`, { body: widget('w') });
  assert.equal(blind.code, 422);
  assert.match(
    blind.body.message,
    /metadata\.resourceVersion: Invalid value: 0: must be specified for an update/,
  );
});

test('a definition goes with its objects, those that are held last', async () => {
  await server.must(`PATCH ${V1}/w`, { metadata: { finalizers: ['example.com/hold'] } }, MERGE);
  const watch = await openWatch(server, `${DEFINITIONS}?fieldSelector=metadata.name=widgets.example.com`);
  await watch.take(1);
  const deleting = await server.must(`DELETE ${DEFINITIONS}/widgets.example.com`);
  assert.ok(deleting.metadata.deletionTimestamp);
  const hold = await openWatch(server, `${V1}?fieldSelector=metadata.name=w`);
  for (;;) {
    const { object } = (await hold.next())!;
    if (object.metadata.deletionTimestamp) break;
  }
  hold.stop();
  assert.equal((await server.send(`${V1}/red`)).code, 404);
  await server.must(`PATCH ${V1}/w`, { metadata: { finalizers: null } }, MERGE);
  for (;;) {
    const { type } = (await watch.next())!;
    if (type === 'DELETED') break;
  }
  watch.stop();
  assert.equal((await server.send(V1)).code, 404);
  assert.ok(
    !(await server.must('/apis')).groups.some(({ name }: { name: string }) => name === 'example.com'),
  );
  await server.must(`POST ${DEFINITIONS}`, definition);
  assert.deepEqual((await server.must(V1)).items, [], 'nothing is left of those before');
});

test('definitions and their objects are there after a restart', async () => {
  await server.must(`POST ${V1}`, widget('kept'));
  await server.restart();
  assert.equal((await server.must(`${V2}/kept`)).spec.color, 'red');
});

const GADGETS = '/apis/example.org';
/** A definition of several versions, by what each has of fields. */
function gadgets(storage: string, versions: Record<string, object>, extra: object = {}): object {
  return {
    metadata: { name: 'gadgets.example.org' },
    spec: {
      group: 'example.org',
      scope: 'Cluster',
      names: { plural: 'gadgets', kind: 'Gadget' },
      versions: Object.entries(versions).map(([name, properties]) => ({
        name,
        served: true,
        storage: name === storage,
        schema: {
          openAPIV3Schema: { type: 'object', properties: { spec: { type: 'object', properties } } },
        },
        selectableFields: [{ jsonPath: '.spec.color' }],
      })),
      ...extra,
    },
  };
}
const text = { type: 'string' };

async function redefine(definition: object): Promise<void> {
  const { metadata } = await server.must(`${DEFINITIONS}/gadgets.example.org`);
  const { resourceVersion } = metadata;
  const name = 'gadgets.example.org';
  await server.must(`PUT ${DEFINITIONS}/${name}`, { ...definition, metadata: { name, resourceVersion } });
}

test('what a definition comes to say holds for objects that are there', async (t) => {
  await server.must(`POST ${DEFINITIONS}`, gadgets('v1', { v1: { color: text, size: text } }));
  const one = `${GADGETS}/v1/gadgets/old`;
  const made = await server.must(`POST ${GADGETS}/v1/gadgets`, {
    metadata: { name: 'old' },
    spec: { size: 's' },
  });
  await redefine(gadgets('v1', { v1: { color: { ...text, default: 'red' } } }));
  const expected = { color: 'red' };
  const seen = await server.must(one);
  assert.deepEqual(
    [seen.spec, seen.metadata],
    [expected, made.metadata],
    'completed and pruned as it is read',
  );
  assert.deepEqual((await server.must(`${GADGETS}/v1/gadgets`)).items[0].spec, expected);
  const selected = await server.must(`${GADGETS}/v1/gadgets?fieldSelector=spec.color%3Dred`);
  assert.equal(selected.items.length, 1, 'what it has by default selects it');
  const watch = await openWatch(server, `${GADGETS}/v1/gadgets`);
  t.after(() => watch.stop());
  assert.deepEqual((await watch.next())!.object.spec, expected);

  const written = await server.must(`PATCH ${one}`, {}, MERGE);
  assert.notEqual(written.metadata.resourceVersion, made.metadata.resourceVersion, 'it is stored so now');
  assert.equal(written.metadata.generation, 1, 'and nothing else is wanted of it');
  assert.deepEqual(await server.must(`PATCH ${one}`, {}, MERGE), written, 'once');
  assert.deepEqual((await watch.next())!.object, written);
  await redefine(gadgets('v1', { v1: { color: text, size: text, shape: text } }));
  await server.must(`PATCH ${one}`, { spec: { shape: 'round' } }, MERGE);
  assert.deepEqual((await watch.next())!.object.spec, { ...expected, shape: 'round' }, 'to who watches, too');
  await server.must(`PATCH ${one}`, { spec: { shape: null } }, MERGE);
  assert.deepEqual((await server.must(one)).spec, expected, 'stored: what was pruned does not come back');
});

test('objects are stored in the version that the definition says', async () => {
  const versions = { v1: { color: text }, v2: { color: text, shape: { ...text, default: 'round' } } };
  await redefine(gadgets('v1', versions));
  const status = async () => (await server.must(`${DEFINITIONS}/gadgets.example.org`)).status;
  assert.deepEqual((await status()).storedVersions, ['v1']);
  await server.must(`POST ${GADGETS}/v2/gadgets`, { metadata: { name: 'new' }, spec: { color: 'blue' } });
  assert.deepEqual(await storedVersions(), { old: 'v1', new: 'v1' });
  assert.deepEqual((await server.must(`${GADGETS}/v2/gadgets/new`)).spec, { color: 'blue', shape: 'round' });
  assert.deepEqual((await server.must(`${GADGETS}/v1/gadgets/new`)).spec, { color: 'blue' });

  await redefine(gadgets('v2', versions));
  assert.deepEqual((await status()).storedVersions, ['v1', 'v2']);
  for (const name of ['old', 'new']) await server.must(`PATCH ${GADGETS}/v1/gadgets/${name}`, {}, MERGE);
  assert.deepEqual(
    await storedVersions(),
    { old: 'v2', new: 'v2' },
    'written again, they are in the new one',
  );
  // As one tells the server who has done that.
  const path = `${DEFINITIONS}/gadgets.example.org`;
  await server.must(`PATCH ${path}/status`, { status: { storedVersions: ['v2'] } }, MERGE);
  await redefine(gadgets('v2', { v2: versions.v2 }));
  assert.deepEqual((await server.must(`${GADGETS}/v2/gadgets/old`)).spec.color, 'red');
});

/** In which version each gadget is on disk. */
async function storedVersions(): Promise<Record<string, string>> {
  const files = readdirSync(join(server.directory, 'state')).map((name) =>
    readFileSync(join(server.directory, 'state', name), 'utf8'),
  );
  const lines = files.flatMap((file) =>
    file.split('\n').filter((line) => line.includes('"gadgets.example.org"')),
  );
  const objects = lines
    .map((line) => JSON.parse(line.slice(9)))
    .filter(({ resource }) => /^gadgets/.test(resource));
  return Object.fromEntries(
    objects.map(({ object }) => [object.metadata.name, object.apiVersion.split('/')[1]]),
  );
}

test('conversion webhooks are refused', async () => {
  const webhook = {
    strategy: 'Webhook',
    webhook: { clientConfig: { url: 'https://localhost/' }, conversionReviewVersions: ['v1'] },
  };
  const answer = await server.send(`POST ${DEFINITIONS}`, {
    body: gadgets('v1', { v1: {} }, { conversion: webhook }),
  });
  assert.equal(answer.code, 422);
  assert.deepEqual(
    answer.body.details.causes.map(({ reason, field }: Record<string, string>) => [reason, field]),
    [['FieldValueForbidden', 'spec.conversion.strategy']],
  );
  assert.match(answer.body.message, /set it to None/);
});

test('a definition that is not structural is refused', async () => {
  const answer = await server.send(`POST ${DEFINITIONS}`, {
    body: {
      ...definition,
      metadata: { name: 'bad.example.com' },
      spec: {
        group: 'example.com',
        scope: 'Namespaced',
        names: { plural: 'things', kind: 'Thing' },
        versions: [
          { name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { properties: {} } } },
        ],
      },
    },
  });
  assert.equal(answer.code, 422);
  const text = answer.body.message;
  assert.match(
    text,
    /metadata\.name: Invalid value: "bad\.example\.com": must be spec\.names\.plural\+"\."\+spec\.group/,
  );
  assert.match(text, /openAPIV3Schema\.type: Required value: must be object at the root/);
  const empty = await server.send(`POST ${DEFINITIONS}`, { body: { metadata: { name: 'x.y' } } });
  assert.equal(empty.code, 422);
});
