import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Ip } from '@enid/ip';
import type { KubeObject } from '@enid/kube';
import { eventually, WatchedApi } from '@enid/kube/testing';
import { pino } from 'pino';
import type { PodIdentity } from '../cni/observer.ts';
import { TestClock } from '../test-clock.ts';
import { type Guard, PolicyNotHeldError } from './data-plane/index.ts';
import { PolicyUnknownError } from './guard.ts';
import { type PodLinkOf, type PolicyMode, PolicyModule } from './policy-module.ts';

const PODS = '/api/v1/pods';
const ENDPOINTS = '/apis/networking.k8s.aws/v1alpha1/policyendpoints';
const CLUSTER_ENDPOINTS = '/apis/networking.k8s.aws/v1alpha1/clusterpolicyendpoints';

const pod = (name: string, metadata: KubeObject['metadata'] = {}): KubeObject => ({
  metadata: { namespace: 'shop', name, uid: `uid of ${name}`, labels: { app: name }, ...metadata },
});
const closed = (app: string) =>
  ({
    metadata: { namespace: 'shop', name: `${app}-closed` },
    spec: {
      podIsolation: ['Ingress'],
      podSelector: { matchLabels: { app } },
      policyRef: { namespace: 'shop', name: app },
    },
  }) as KubeObject & { readonly spec: object };
const identity = (name: string, uid = `uid of ${name}`): PodIdentity => ({
  metadata: { k8sPodNamespace: 'shop', k8sPodName: name },
  uid,
});

/** A module, and what its data plane and its recorder were told. */
async function setUp(t: TestContext, { mode = 'standard' as PolicyMode, isSilent = false } = {}) {
  const api = await new WatchedApi().start();
  t.after(() => api[Symbol.asyncDispose]());
  api.isSilent = isSilent;
  api.put('/api/v1/namespaces', { metadata: { name: 'shop' } });
  const clock = new TestClock();
  const calls: [ifindex: number, policies: string][][] = [];
  const events: string[] = [];
  const full = new Set<number>();
  const wired: PodLinkOf[] = [];
  const released: number[] = [];
  const module = new PolicyModule({
    ...{ client: api.client, nodeName: 'node-1', mode, log: 'denied', clock, links: () => [...wired] },
    logger: pino({ level: 'silent' }),
    plane: {
      guarded: () => [],
      async release(ifindex: number) {
        released.push(ifindex);
      },
      async guard(guards: readonly Guard[]) {
        calls.push(
          guards.map(({ ifindex, rules: { ingress } }) => {
            const names = [...ingress.admin, ...ingress.networkPolicies].map(({ policy }) => policy.name);
            return [ifindex, names.join() || ingress.default];
          }),
        );
        const refused = guards.map(({ ifindex }) => ifindex).filter((ifindex) => full.has(ifindex));
        if (refused.length > 0) throw new PolicyNotHeldError('the map peers is full', refused);
      },
    },
    recorder: {
      event: ({ metadata }, type, reason, message) =>
        void events.push([metadata?.name, type, reason, message].join(' ')),
    },
  });
  t.after(() => module[Symbol.asyncDispose]());
  return { api, clock, module, calls, events, full, wired, released };
}

test('ADD waits for what binds a pod, and fails with the cause when that cannot be known', async (t) => {
  const { api, clock, module, calls } = await setUp(t, { isSilent: true });
  api.put(PODS, pod('web'), { isTold: false });
  const early = module.guard(identity('web'), 7);
  const failed = assert.rejects(early, (error) => {
    return error instanceof PolicyUnknownError && /did not tell within 5 s.*aws-node pod/.test(error.message);
  });
  await clock.advance(5000);
  await failed;
  assert.deepEqual(calls, [], 'nothing was put in force');

  api.put(ENDPOINTS, closed('web'), { isTold: false });
  api.speak();
  await module.guard(identity('web'), 7);
  assert.deepEqual(calls[0], [[7, 'web']]);
});

test('a pod of which no watch has told is asked for by its name, and bound by its labels from the start', async (t) => {
  const { api, module, calls } = await setUp(t);
  api.put(ENDPOINTS, closed('web'));
  await module.synced;
  api.put(PODS, pod('web'), { isTold: false });
  await module.guard(identity('web'), 7);
  assert.deepEqual(calls, [[[7, 'web']]]);
});

test('a pod that was deleted before ADD is refused, since its rules cannot be known, also when another has its name', async (t) => {
  const { api, module, calls } = await setUp(t);
  api.put(PODS, pod('web'));
  await module.synced;
  await assert.rejects(module.guard(identity('web', 'the one before'), 7), (error) => {
    return (
      error instanceof PolicyUnknownError &&
      /no pod shop\/web with the uid the one before/.test(error.message)
    );
  });
  await assert.rejects(module.guard(identity('db'), 7), PolicyUnknownError);
  assert.deepEqual(calls, []);
});

test('a pod made anew under its name is bound by its own labels, while the watch tells of the one before', async (t) => {
  const { api, module, calls } = await setUp(t);
  api.put(PODS, pod('db-0', { uid: 'first', labels: { app: 'old' } }));
  api.put(ENDPOINTS, closed('new'));
  await module.synced;
  api.put(PODS, pod('db-0', { uid: 'second', labels: { app: 'new' } }), { isTold: false });
  await module.guard(identity('db-0', 'second'), 7);
  assert.deepEqual(calls, [[[7, 'new']]]);
});

test('a pod that runs on stays bound when it is deleted, when another has its name, and when its policies change', async (t) => {
  const { api, module, calls } = await setUp(t);
  const first = pod('db-0', { uid: 'first', labels: { app: 'db' } });
  api.put(PODS, first);
  api.put(ENDPOINTS, closed('db'));
  await module.synced;
  await module.guard(identity('db-0', 'first'), 1);
  api.delete(PODS, 'shop/db-0');
  api.put(PODS, pod('db-0', { uid: 'second', labels: { app: 'other' } }));
  await module.guard(identity('db-0', 'second'), 2);
  const end = await module.trace();
  await end();
  const of = (link: number) => calls.flat().filter(([ifindex]) => ifindex === link);
  assert.deepEqual(new Set(of(1).map(([, policies]) => policies)), new Set(['db']));
  assert.deepEqual(new Set(of(2).map(([, policies]) => policies)), new Set(['allow']));
  const more = { ...closed('db'), metadata: { namespace: 'shop', name: 'more' } };
  api.put(ENDPOINTS, {
    ...more,
    spec: { ...more.spec, policyRef: { namespace: 'shop', name: 'more' } },
  } as KubeObject);
  await eventually(() => assert.deepEqual(calls.at(-1), [[1, 'db,more']]));
});

test('what an earlier agent put in force on a pod that the API server has no more stays, also under a trace', async (t) => {
  const { api, clock, module, calls, wired } = await setUp(t);
  // Of the second one the earlier agent did not know the uid, and another has the name of the third.
  wired.push({ pod: identity('gone'), ifindex: 1 });
  wired.push({ pod: { metadata: identity('lost').metadata }, ifindex: 2 });
  wired.push({ pod: identity('db-0', 'first'), ifindex: 3 });
  wired.push({ pod: { metadata: identity('web').metadata }, ifindex: 4 });
  api.put(PODS, pod('db-0', { uid: 'second' }));
  api.put(PODS, pod('web'));
  api.put(ENDPOINTS, closed('web'));
  await module.synced;
  await eventually(() => assert.deepEqual(calls, [[[4, 'web']]]));
  await clock.advance(10_000);
  calls.length = 0;
  const end = await module.trace();
  assert.deepEqual(calls, [[[4, 'web']]]);
  await end();
});

test('in strict mode a pod of an earlier agent that the API server has no more is closed', async (t) => {
  const { module, calls, wired } = await setUp(t, { mode: 'strict' });
  wired.push({ pod: { metadata: identity('gone').metadata }, ifindex: 1 });
  await module.synced;
  await eventually(() => assert.deepEqual(calls, [[[1, 'deny']]]));
});

test('ADD waits for watches that have failed, which are asked at once: what they had told may be old', async (t) => {
  const { api, module, calls } = await setUp(t);
  api.put(PODS, pod('web'));
  await module.synced;
  api.down();
  // From now on the next attempt is a second and more away.
  await eventually(() => assert.ok(api.failures.get(ENDPOINTS)! > 3));
  api.put(ENDPOINTS, closed('web'));
  api.up();
  await module.guard(identity('web'), 7);
  assert.deepEqual(calls[0], [[7, 'web']]);
});

for (const mode of ['standard', 'strict'] as const)
  test(`a pod in a namespace of which no watch has told is bound by the labels of that, too (${mode})`, async (t) => {
    const { api, module, calls } = await setUp(t, { mode });
    const spec = {
      policyRef: { name: 'apart' },
      ...{ priority: 1, tier: 'Admin', subject: { namespaces: { matchLabels: { team: 'a' } } } },
      ingress: [{ cidr: '0.0.0.0/0', rule: 0, action: 'Deny' }],
    };
    api.put(CLUSTER_ENDPOINTS, { metadata: { name: 'apart' }, spec } as KubeObject);
    await module.synced;
    const late = { isTold: false };
    api.put('/api/v1/namespaces', { metadata: { name: 'team-a', labels: { team: 'a' } } }, late);
    const metadata = { namespace: 'team-a', labels: {} };
    api.put(PODS, pod('web', metadata), mode === 'strict' ? {} : late);
    const names = { k8sPodNamespace: 'team-a', k8sPodName: 'web' };
    await module.guard({ ...identity('web'), metadata: names }, 7);
    const [first] = calls[0]!;
    assert.deepEqual(first, [7, mode === 'strict' ? 'deny' : 'apart']);
    if (mode === 'standard') return;
    api.put('/api/v1/namespaces', { metadata: { name: 'team-a', labels: { team: 'a' } } });
    await eventually(() => assert.deepEqual(calls.at(-1), [[7, 'apart']]));
  });

for (const mode of ['standard', 'strict'] as const)
  test(`a pod that somebody else has wired is bound when that is asked for by its name (${mode})`, async (t) => {
    const { api, module, calls, wired } = await setUp(t, { mode });
    api.put(PODS, pod('db-0', { uid: 'first', labels: { app: 'old' } }));
    api.put(ENDPOINTS, closed('new'));
    await module.synced;
    assert.equal(await module.guardNamed('shop', 'db-0'), false);
    // The watch still tells of the one before.
    api.put(PODS, pod('db-0', { uid: 'second', labels: { app: 'new' } }), { isTold: false });
    wired.push({ pod: { metadata: identity('db-0').metadata }, ifindex: 7 });
    assert.equal(await module.guardNamed('shop', 'db-0'), true);
    if (mode === 'strict') {
      assert.deepEqual(calls[0], [[7, 'deny']]);
      await eventually(() => assert.deepEqual(calls.at(-1), [[7, 'new']]));
    } else assert.deepEqual(calls, [[[7, 'new']]]);
    const count = calls.length;
    assert.equal(await module.guardNamed('shop', 'db-0'), true);
    assert.equal(calls.length, count, 'one that is known is guarded already');
  });

test("a static pod is bound as what stands for it in the API, whose uid is not the pod's", async (t) => {
  const { api, module, calls } = await setUp(t);
  const annotations = { 'kubernetes.io/config.mirror': 'of the file' };
  api.put(PODS, pod('proxy-node-1', { labels: { app: 'proxy' }, annotations }));
  api.put(ENDPOINTS, closed('proxy'));
  await module.synced;
  await module.guard(identity('proxy-node-1', 'of the file'), 7);
  assert.deepEqual(calls, [[[7, 'proxy']]]);
});

test('the pod of the node that has an address is known by it, and none that has the address of the node', async (t) => {
  const { api, module } = await setUp(t);
  const at = (name: string, podIP: string, hostNetwork = false) => ({
    ...pod(name),
    ...{ spec: { hostNetwork }, status: { podIP } },
  });
  api.put(PODS, at('proxy', '10.0.1.4', true));
  api.put(PODS, at('web', '10.0.1.9'));
  await module.synced;
  const podAt = (address: string) => module.podAt(address as Ip);
  assert.deepEqual([podAt('10.0.1.4'), podAt('10.0.1.9')], [undefined, 'shop/web']);
  api.delete(PODS, 'shop/web');
  api.put(PODS, at('db', '10.0.1.9'));
  await eventually(() => assert.equal(podAt('10.0.1.9'), 'shop/db'));
});

test('a change of policies is put in force on the pods that it concerns, and on no others', async (t) => {
  const { api, module, calls } = await setUp(t);
  for (const name of ['web', 'db', 'other']) api.put(PODS, pod(name));
  await module.synced;
  for (const [i, name] of ['web', 'db', 'other'].entries()) await module.guard(identity(name), i + 1);
  await eventually(() => assert.deepEqual(calls.at(-1), [[3, 'allow']]));
  calls.length = 0;
  api.put(ENDPOINTS, closed('db'));
  await eventually(() => assert.deepEqual(calls, [[[2, 'db']]]));
  api.put(ENDPOINTS, { ...closed('db'), spec: closed('web').spec } as KubeObject);
  await eventually(() =>
    assert.deepEqual(calls.slice(1), [
      [
        [1, 'web'],
        [2, 'allow'],
      ],
    ]),
  );
  module.release(1);
  api.put(ENDPOINTS, { ...closed('db'), spec: closed('other').spec } as KubeObject);
  await eventually(() => assert.deepEqual(calls.slice(2), [[[3, 'other']]]));
});

test('a pod that an earlier agent has wired is let go when it has gone, and the next of its name is another', async (t) => {
  const { api, clock, module, calls, wired, released } = await setUp(t);
  api.put(PODS, pod('web'));
  wired.push({ pod: identity('web'), ifindex: 1 });
  await module.synced;
  await clock.advance(5000);
  assert.deepEqual(calls.at(-1), [[1, 'allow']]);
  assert.equal(module.linkOf('shop/web'), 1);
  wired.pop();
  await module.guard(identity('web'), 2);
  assert.equal(module.linkOf('shop/web'), 2);
  await clock.advance(5000);
  assert.deepEqual(released, [1]);
  assert.equal(module.linkOf('shop/web'), 2);
});

test('a pod whose rules do not fit is told of by an event, and the others go on', async (t) => {
  const { api, module, calls, events, full } = await setUp(t);
  for (const name of ['web', 'db']) api.put(PODS, pod(name));
  await module.synced;
  await module.guard(identity('web'), 1);
  await module.guard(identity('db'), 2);
  full.add(1);
  api.put(ENDPOINTS, closed('web'));
  await eventually(() => assert.deepEqual(events, ['web Warning PolicyNotHeld the map peers is full']));
  api.put(ENDPOINTS, closed('db'));
  await eventually(() => assert.deepEqual(calls.at(-1), [[2, 'db']]));
  // ADD goes on as well: the pod is closed, not lost.
  await module.guard(identity('web'), 1);
  assert.equal(events.length, 2);
});

test('in strict mode ADD does not wait: the pod is closed until it is known what opens it', async (t) => {
  const { api, module, calls } = await setUp(t, { mode: 'strict', isSilent: true });
  await module.guard(identity('web'), 7);
  assert.deepEqual(calls, [[[7, 'deny']]]);
  api.put(PODS, pod('web'), { isTold: false });
  api.put(ENDPOINTS, closed('web'), { isTold: false });
  api.speak();
  await eventually(() => assert.deepEqual(calls.at(-1), [[7, 'web']]));
});
