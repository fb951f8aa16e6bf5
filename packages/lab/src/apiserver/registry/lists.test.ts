import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestApiServer, type TestApiServer } from '../apiserver.fixture.ts';

let server: TestApiServer;
const MAPS = '/api/v1/namespaces/default/configmaps';

before(async () => {
  server = await startTestApiServer({ history: { events: 300, bytes: 1e8 } });
});
after(() => server.stop());

type Item = { metadata: { name: string; resourceVersion: string; namespace: string } };
const names = ({ items }: { items: Item[] }) => items.map(({ metadata }) => metadata.name);

test('all pages of a list show one revision while changes go on', async () => {
  for (let i = 0; i < 25; i += 1) await server.must(`POST ${MAPS}`, { metadata: { name: `page-${i}` } });
  const first = await server.must(`${MAPS}?limit=10`);
  assert.equal(first.metadata.remainingItemCount, 15);
  const seen = names(first);
  let token: string | undefined = first.metadata.continue;
  for (let page = 0; token; page += 1) {
    await server.must(`DELETE ${MAPS}/page-${24 - page}`);
    await server.must(`POST ${MAPS}`, { metadata: { name: `zzz-${page}` } });
    await server.must(`PUT ${MAPS}/page-5`, { metadata: { name: 'page-5' }, data: { page: String(page) } });
    const next = await server.must(`${MAPS}?limit=10&continue=${token}`);
    assert.equal(next.metadata.resourceVersion, first.metadata.resourceVersion);
    assert.ok(
      next.items.every((item: Item & { data?: object }) => item.data === undefined),
      'as it was',
    );
    seen.push(...names(next));
    token = next.metadata.continue;
  }
  assert.deepEqual(seen, Array.from({ length: 25 }, (_, i) => `page-${i}`).sort());

  const exact = await server.must(
    `${MAPS}?resourceVersion=${first.metadata.resourceVersion}&resourceVersionMatch=Exact`,
  );
  assert.deepEqual(names(exact), seen);
  for (let i = 0; i < 300; i += 1) {
    await server.must(`PUT ${MAPS}/page-5`, { metadata: { name: 'page-5' }, data: { i: String(i) } });
  }
  const late = await server.send(`${MAPS}?limit=10&continue=${first.metadata.continue}`);
  assert.equal(late.code, 410);
  assert.match(late.body.message, /continue parameter is too old/);
  assert.equal((await server.send(`${MAPS}?continue=xyz`)).code, 400);
  await server.must(`DELETE ${MAPS}`);
  assert.deepEqual((await server.must(MAPS)).items, []);
});

test('label selectors', async () => {
  const objects: Record<string, Record<string, string>> = {
    a: { app: 'web', tier: 'front', n: '1' },
    b: { app: 'web', tier: 'back', n: '10' },
    c: { app: 'db' },
    d: {},
  };
  for (const [name, labels] of Object.entries(objects))
    await server.must(`POST ${MAPS}`, { metadata: { name, labels } });
  const select = async (selector: string) =>
    names(await server.must(`${MAPS}?labelSelector=${encodeURIComponent(selector)}`)).join('');
  for (const [selector, expected] of [
    ['app=web', 'ab'],
    ['app==web,tier!=front', 'b'],
    ['app!=web', 'cd'],
    ['app', 'abc'],
    ['!app', 'd'],
    ['app in (web, db)', 'abc'],
    ['app notin (web)', 'cd'],
    ['app in (web),tier notin (front,x), n', 'b'],
    ['n>5', 'b'],
    ['n<5', 'a'],
    ['tier=', ''],
    [' app = web , tier = back ', 'b'],
  ] as const) {
    assert.equal(await select(selector), expected, selector);
  }
  for (const bad of ['app=web=x', 'a b', 'app in web', 'n>x', '-a=b', `a=${'x'.repeat(64)}`, 'app in (a']) {
    const answer = await server.send(`${MAPS}?labelSelector=${encodeURIComponent(bad)}`);
    assert.equal(answer.code, 400, bad);
    assert.match(answer.body.message, /unable to parse/, bad);
  }
});

test('field selectors, and the refusal of others', async () => {
  const nodes = '/api/v1/nodes';
  await server.must(`POST ${nodes}`, { metadata: { name: 'n1' }, spec: { unschedulable: true } });
  await server.must(`POST ${nodes}`, { metadata: { name: 'n2' } });
  const select = async (path: string, selector: string) =>
    names(await server.must(`${path}?fieldSelector=${encodeURIComponent(selector)}`)).join(' ');
  assert.equal(await select(nodes, 'spec.unschedulable=true'), 'n1');
  assert.equal(await select(nodes, 'spec.unschedulable!=true,metadata.name!=x'), 'n2');
  assert.equal(await select(MAPS, 'metadata.name=a'), 'a');
  assert.equal(await select('/api/v1/configmaps', 'metadata.namespace=default,metadata.name=b'), 'b');
  const event = (name: string, involved: string) => ({
    metadata: { name },
    involvedObject: { kind: 'Pod', name: involved, namespace: 'default' },
    reason: 'Started',
    source: { component: 'kubelet' },
    type: 'Normal',
  });
  const events = '/api/v1/namespaces/default/events';
  await server.must(`POST ${events}`, event('e1', 'p1'));
  await server.must(`POST ${events}`, event('e2', 'p2'));
  assert.equal(await select(events, 'involvedObject.name=p1,involvedObject.kind=Pod,source=kubelet'), 'e1');
  assert.equal(await select('/apis/events.k8s.io/v1/events', 'regarding.name=p2'), 'e2');
  const shown = await server.must('/apis/events.k8s.io/v1/namespaces/default/events/e2');
  assert.equal(shown.regarding.name, 'p2');
  assert.equal(shown.deprecatedSource.component, 'kubelet');
  assert.equal(shown.involvedObject, undefined);

  const refused = await server.send(`${MAPS}?fieldSelector=spec.x%3D1`);
  assert.equal(refused.code, 400);
  assert.match(refused.body.message, /field label not supported: spec\.x/);
});
