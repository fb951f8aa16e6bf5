/** Whatever is sent, the answer is one of the client's making: no body makes the server fail. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { parseAllDocuments } from 'yaml';
import { startTestApiServer, type TestApiServer } from '../apiserver.fixture.ts';
import { deployment, EVERYTHING, POD, WIDGET } from '../kubectl/manifests.fixture.ts';
import type { Fields, KubeObject } from '../object.ts';
import { BUILT_IN } from '../registry/resources.ts';

let server: TestApiServer;

const MORE = `
apiVersion: v1
kind: Service
metadata: {name: s, labels: {a: b}, annotations: {c: d}, finalizers: [a.b/c]}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, selector: {a: b}, ports: [{name: a, port: 80, nodePort: 30080, protocol: TCP}]}
---
apiVersion: v1
kind: Node
metadata: {name: n}
spec: {unschedulable: true, taints: [{key: a, effect: NoSchedule}]}
status: {addresses: [{type: InternalIP, address: 10.0.0.1}], conditions: [{type: Ready, status: "True"}], capacity: {cpu: "4"}}
---
apiVersion: v1
kind: Namespace
metadata: {name: ns}
spec: {finalizers: [kubernetes]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: e}
subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{port: 80}]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: e}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1], conditions: {ready: true}}]
ports: [{name: a, port: 80}]
---
apiVersion: v1
kind: Event
metadata: {name: e}
involvedObject: {kind: Pod, name: p, namespace: default}
source: {component: c}
count: 1
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: sa}
secrets: [{name: a}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c, ownerReferences: [{apiVersion: v1, kind: Pod, name: p, uid: u, controller: true}]}
data: {a: b}
binaryData: {c: YQ==}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: p}
value: 5
`;

const OBJECTS = parseAllDocuments(
  [EVERYTHING, WIDGET, deployment('i'), POD('p', 't'), MORE].join('\n---\n'),
).map((document) => document.toJS() as KubeObject);

before(async () => {
  server = await startTestApiServer();
  await server.must('POST /api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
  const definition = OBJECTS.find(({ kind }) => kind === 'CustomResourceDefinition')!;
  await server.must('POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions', definition);
});
after(() => server.stop());

function pathOf({ apiVersion, kind }: KubeObject): string {
  const resource = BUILT_IN.find((one) => one.kind === kind && apiVersion.startsWith(one.group));
  const plural = resource?.plural ?? 'widgets';
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  return resource?.namespaced === false ? `${root}/${plural}` : `${root}/namespaces/default/${plural}`;
}

/** All places in JSON. */
function places(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  const children = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  return [
    ...(path.length > 0 ? [path] : []),
    ...children.flatMap(([key, child]) => places(child, [...path, key])),
  ];
}

function withValue(object: KubeObject, path: readonly (string | number)[], value: unknown): KubeObject {
  const copy = structuredClone(object);
  // biome-ignore lint/suspicious/noExplicitAny: it is about any JSON.
  const parent = path.slice(0, -1).reduce((at: any, key) => at[key], copy);
  if (value === undefined) delete parent[path.at(-1)!];
  else parent[path.at(-1)!] = value;
  return copy;
}

const odd = fc.constantFrom<unknown>(
  undefined,
  null,
  '',
  'x',
  'None',
  '10.100.0.300',
  0,
  -1,
  1.5,
  1e300,
  true,
  [],
  [null],
  [[]],
  ['a'],
  [{}],
  {},
  { a: null },
  { __proto__: null, constructor: {} },
);
const mutation = fc
  .constantFrom(...OBJECTS)
  .chain((object) =>
    fc.record({ object: fc.constant(object), path: fc.constantFrom(...places(object)), value: odd }),
  );

const PATCHES = ['merge-patch+json', 'strategic-merge-patch+json', 'apply-patch+yaml'];

test('objects with odd values are taken or refused, made, replaced or patched', async () => {
  const refused = new Map<number, number>();
  const send = async (what: string, body: unknown, type = 'json') => {
    const sent = { body, headers: { 'content-type': `application/${type}` } };
    const answer = await server.send(what, sent);
    refused.set(answer.code, (refused.get(answer.code) ?? 0) + 1);
    assert.ok(answer.code < 500, `${what} (${type}) ${JSON.stringify(body)}: ${answer.text}`);
    return answer;
  };
  await fc.assert(
    fc.asyncProperty(mutation, fc.constantFrom(...PATCHES), async ({ object, path, value }, patch) => {
      const all = pathOf(object);
      const one = `${all}/${object.metadata.name}`;
      const changed = withValue(object, path, value);
      const made = await send(`POST ${all}`, changed);
      const name = (made.body as KubeObject).metadata?.name;
      if (made.code === 201 && name) await clear(`${all}/${name}`);
      await server.send(`POST ${all}`, { body: object });
      await send(`PUT ${one}`, changed);
      await send(`PATCH ${one}?fieldManager=m&force=true`, changed, patch);
      await send(`PATCH ${one}/status?fieldManager=m&force=true`, changed, patch);
      const pointer = `/${path.join('/')}`;
      await send(`PATCH ${one}`, [{ op: 'add', path: pointer, value: value ?? null }], 'json-patch+json');
      await send(`PATCH ${one}/scale`, changed, 'merge-patch+json');
      await send(`DELETE ${one}`, {
        [String(path[0])]: value,
        preconditions: value,
        gracePeriodSeconds: value,
      });
      await clear(one);
    }),
    { numRuns: Number(process.env.ENID_MALFORMED_RUNS ?? 150) },
  );
  assert.ok(
    [200, 201, 400, 404, 422].every((code) => refused.has(code)),
    'some were taken, others refused',
  );

  /** Takes an object away, whatever holds it. */
  async function clear(one: string): Promise<void> {
    await server.send(`PATCH ${one}`, {
      body: { metadata: { finalizers: null } },
      headers: { 'content-type': 'application/merge-patch+json' },
    });
    await server.send(`DELETE ${one}?gracePeriodSeconds=0`);
    const left = await server.send(one);
    if (left.code === 200 && left.body.kind === 'Namespace')
      await server.send(`PUT ${one}/finalize`, { body: {} });
  }
});

test('what is asked of subresources and in queries', async () => {
  const bodies: Fields[] = [
    {},
    { spec: null },
    { spec: 'x' },
    { spec: { replicas: 'x' } },
    { metadata: 'x', target: 'x' },
  ];
  const values = ['', 'x', '-1', '99999999999999999999', '%', 'true', 'a=b,', 'a in (', '(', 'All'];
  const names = [
    'limit',
    'continue',
    'resourceVersion',
    'resourceVersionMatch',
    'labelSelector',
    'fieldSelector',
    'sendInitialEvents',
    'timeoutSeconds',
    'dryRun',
    'fieldValidation',
    'propagationPolicy',
    'gracePeriodSeconds',
    'includeObject',
    'fieldManager',
  ];
  const pods = '/api/v1/namespaces/default/pods';
  await server.must(`POST ${pods}`, parseAllDocuments(POD('sub', 't'))[0]!.toJS());
  for (const body of bodies) {
    for (const what of [
      `POST ${pods}/sub/eviction?dryRun=All`,
      `POST ${pods}/sub/binding?dryRun=All`,
      'POST /api/v1/namespaces/default/bindings',
      'POST /api/v1/namespaces/default/serviceaccounts/default/token',
      'PUT /api/v1/namespaces/default/finalize?dryRun=All',
      'POST /apis/authentication.k8s.io/v1/tokenreviews',
      'POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
    ]) {
      const answer = await server.send(what, { body });
      assert.ok(answer.code < 500, `${what} ${JSON.stringify(body)}: ${answer.text}`);
    }
  }
  for (const name of names) {
    for (const value of values) {
      const query = `${name}=${encodeURIComponent(value)}`;
      for (const what of [
        pods,
        `${pods}?watch=true&timeoutSeconds=x`,
        `DELETE ${pods}/none`,
        `POST ${pods}`,
      ]) {
        const answer = await server.send(`${what}${what.includes('?') ? '&' : '?'}${query}`, {
          ...(what.startsWith('POST') && { body: {} }),
        });
        const isFuture = name === 'resourceVersion' && answer.code === 504;
        assert.ok(answer.code < 500 || isFuture, `${what} ${query}: ${answer.text}`);
      }
    }
  }
});
