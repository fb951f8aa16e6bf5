/** What a controller of load balancers relies on beside Services: classes, statuses, conditions of pods, its own resources. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { parse } from 'yaml';
import { startTestApiServer, type TestApiServer } from '../apiserver.fixture.ts';

const CLASSES = '/apis/networking.k8s.io/v1/ingressclasses';
const INGRESSES = '/apis/networking.k8s.io/v1/namespaces/default/ingresses';
const PODS = '/api/v1/namespaces/default/pods';
const MERGE = { 'content-type': 'application/merge-patch+json' };
const STRATEGIC = { 'content-type': 'application/strategic-merge-patch+json' };
const TABLE = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };

let server: TestApiServer;
before(async () => {
  let now = Date.now();
  // Each look at the clock is a second later: what is made later is newer.
  server = await startTestApiServer({ now: () => (now += 1000) });
  await server.must('POST /api/v1/namespaces/default/serviceaccounts', { metadata: { name: 'default' } });
});
after(() => server.stop());

const ingressClass = (name: string, isDefault: boolean) => ({
  metadata: {
    name,
    ...(isDefault && { annotations: { 'ingressclass.kubernetes.io/is-default-class': 'true' } }),
  },
  spec: {
    controller: 'ingress.k8s.aws/alb',
    parameters: { apiGroup: 'elbv2.k8s.aws', kind: 'IngressClassParams', name: 'public' },
  },
});
const ingress = (name: string, more: object = {}, annotations?: object) => ({
  metadata: { name, ...(annotations && { annotations }) },
  spec: { defaultBackend: { service: { name: 'web', port: { number: 80 } } }, ...more },
});

test('an Ingress without a class gets the newest of the default ones', async () => {
  const classless = await server.must(`POST ${INGRESSES}`, ingress('classless'));
  assert.equal(classless.spec.ingressClassName, undefined);
  for (const [name, isDefault] of [
    ['old', true],
    ['alb', true],
    ['other', false],
  ] as const) {
    const made = await server.must(`POST ${CLASSES}`, ingressClass(name, isDefault));
    assert.equal(made.spec.parameters.scope, 'Cluster');
  }
  const classOf = async (object: object) =>
    (await server.must(`POST ${INGRESSES}`, object)).spec.ingressClassName;
  assert.equal(await classOf(ingress('none')), 'alb');
  assert.equal(await classOf(ingress('named', { ingressClassName: 'other' })), 'other');
  const annotated = ingress('annotated', {}, { 'kubernetes.io/ingress.class': 'alb' });
  assert.equal(await classOf(annotated), undefined);
});

test('the address of an Ingress is its status, which its spec does not touch, nor the other way round', async () => {
  const loadBalancer = { ingress: [{ hostname: 'k8s-web.elb.test' }] };
  const status = { status: { loadBalancer }, spec: { ingressClassName: 'other' } };
  const told = await server.must(`PATCH ${INGRESSES}/none/status`, status, MERGE);
  assert.deepEqual([told.status, told.spec.ingressClassName], [{ loadBalancer }, 'alb']);
  assert.equal(told.metadata.generation, 1);
  const changed = { spec: { ingressClassName: 'other' }, status: { loadBalancer: {} } };
  const now = await server.must(`PATCH ${INGRESSES}/none`, changed, MERGE);
  assert.deepEqual(
    [now.status, now.spec.ingressClassName, now.metadata.generation],
    [{ loadBalancer }, 'other', 2],
  );
  const { rows } = await server.must(`${INGRESSES}/none`, undefined, TABLE);
  assert.deepEqual(rows[0].cells.slice(0, 5), ['none', 'other', '*', 'k8s-web.elb.test', '80']);
});

test('conditions of a pod are each its teller’s own', async () => {
  const gate = 'target-health.elbv2.k8s.aws/web';
  await server.must(`POST ${PODS}`, {
    metadata: { name: 'gated' },
    spec: { containers: [{ name: 'c', image: 'i' }], readinessGates: [{ conditionType: gate }] },
  });
  const patch = (conditions: object[]) =>
    server.must(`PATCH ${PODS}/gated/status`, { status: { conditions } }, STRATEGIC);
  await patch([{ type: 'Ready', status: 'False' }]);
  await patch([{ type: gate, status: 'True', reason: 'Healthy' }]);
  const { status } = await patch([{ type: 'Ready', status: 'True' }]);
  const told = status.conditions.map(({ type, status }: { type: string; status: string }) => [type, status]);
  assert.deepEqual(Object.fromEntries(told), { Ready: 'True', [gate]: 'True' });
  assert.equal(told.length, 2);
});

test('target group bindings are checked, completed and shown as their definition says', async () => {
  const definition = readFileSync(
    new URL('../../../../../deploy/crds/targetgroupbindings.yaml', import.meta.url),
  );
  await server.must(
    'POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions',
    parse(String(definition)),
  );
  const bindings = '/apis/elbv2.k8s.aws/v1beta1/namespaces/default/targetgroupbindings';
  const spec = {
    targetGroupARN: 'arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/web/0123456789abcdef',
    targetType: 'ip',
    serviceRef: { name: 'web', port: 'http' },
  };
  const wrong = { metadata: { name: 'wrong' }, spec: { ...spec, targetType: 'pod' } };
  const refused = await server.send(`POST ${bindings}`, { body: wrong });
  assert.equal(refused.code, 422);
  assert.match(refused.body.message, /spec.targetType: Unsupported value: "pod"/);
  await server.must(`POST ${bindings}`, { metadata: { name: 'web' }, spec });
  const told = await server.must(
    `PATCH ${bindings}/web/status`,
    { status: { observedGeneration: 1 } },
    MERGE,
  );
  assert.deepEqual([told.status, told.metadata.generation], [{ observedGeneration: 1 }, 1]);
  const { columnDefinitions, rows } = await server.must(bindings, undefined, TABLE);
  const shown = Object.fromEntries(
    columnDefinitions.map(({ name }: { name: string }, index: number) => [name, rows[0].cells[index]]),
  );
  assert.equal(shown['Service-Name'], 'web');
  assert.equal(shown['Target-Type'], 'ip');
});
