import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { emptyPool, putEni } from '@enid/ipam';
import { eventually } from '@enid/kube/testing';
import { Registry } from 'prom-client';
import { explainAwsError } from '../aws/errors.ts';
import { assignmentOf, primaryEni } from '../network/testbed.ts';
import type { PoolView } from '../pool/node-pool.ts';
import { type Assignment, NoAddressError } from '../seams.ts';
import { TestApiServer } from './api-server.fixture.ts';
import { openKubernetes } from './index.ts';
import { Kubernetes, type KubernetesOptions } from './kubernetes.ts';
import { maxPodsDifference, maxPodsOf } from './max-pods.ts';
import { Warnings } from './warnings.ts';

const POD_IPS = 'vpc.amazonaws.com/pod-ips';

function collectLog() {
  const warnings: string[] = [];
  const log = {
    debug() {},
    info() {},
    error() {},
    warn: (...words: unknown[]) => warnings.push(String(words.at(-1))),
  };
  return { warnings, log: log as never };
}

async function start(t: TestContext, options: Partial<KubernetesOptions> = {}) {
  const server = await new TestApiServer().start();
  const { log, warnings } = collectLog();
  const access = { server: `http://127.0.0.1:${server.port}` };
  const kubernetes = new Kubernetes({ access, nodeName: 'node-1', annotatePodIps: false, log, ...options });
  t.after(async () => {
    await kubernetes.close();
    await server.stop();
  });
  const held: Assignment[] = [];
  const follow = () =>
    kubernetes.follow({
      pool: { assignments: () => [...held] },
      instanceType: 't3.medium',
      maxPods: () => 17,
    });
  return { server, kubernetes, held, warnings, follow };
}

test('what EC2 says is the cause of a refusal', () => {
  const causes: Record<string, string | undefined> = {
    InsufficientFreeAddressesInSubnet: 'SubnetExhausted',
    InsufficientCidrBlocks: 'PrefixFragmentation',
    RequestLimitExceeded: 'Throttled',
    UnauthorizedOperation: 'Denied',
    CredentialsProviderError: 'Denied',
    AttachmentLimitExceeded: 'ENILimit',
    PrivateIpAddressLimitExceeded: 'AddressLimit',
    InternalError: undefined,
  };
  const context = { operation: 'AssignPrivateIpAddresses', target: 'subnet-0a' };
  for (const [name, cause] of Object.entries(causes)) {
    const { refusalCause } = explainAwsError(Object.assign(new Error('x'), { name }), context);
    assert.equal(refusalCause, cause, name);
  }
});

test('a refusal is an event on the pod and on the node, found by their uids, told once', async (t) => {
  const { server, kubernetes } = await start(t);
  server.putNode('17');
  await kubernetes.node!.synced;
  await eventually(() => assert.ok(kubernetes.node!.node));
  server.pods.set('shop/web-1', { uid: 'uid-of-web-1', annotations: {} });
  const refuse = (name: string, uid?: string, seconds = 5) =>
    kubernetes.refused(
      { metadata: { k8sPodNamespace: 'shop', k8sPodName: name }, ...(uid && { uid }) },
      new NoAddressError({
        cause: 'SubnetExhausted',
        sentence: `subnet-0a has no free address: free some, or tag another subnet; next attempt in ${seconds} s`,
      }),
    );
  for (let again = 0; again < 50; again++) refuse('web-0', 'uid-of-web-0', again);
  refuse('web-1');
  refuse('deleted-meanwhile');
  await eventually(() => assert.equal(server.events.length, 3));
  await kubernetes.close();
  const told = server.events
    .map(({ involvedObject, reason, type }) => ({ ...(involvedObject as { uid: string }), reason, type }))
    .map(({ uid, reason, type }) => `${type} ${reason} ${uid}`);
  assert.deepEqual(told.sort(), [
    'Warning SubnetExhausted uid-of-node-1',
    'Warning SubnetExhausted uid-of-web-0',
    'Warning SubnetExhausted uid-of-web-1',
  ]);
  assert.match(server.events[0]!.message, /subnet-0a has no free address: free some, or tag another subnet/);
  assert.deepEqual(
    new Set(server.selectors),
    new Set(['metadata.name=node-1']),
    'only its own node is watched',
  );
});

test('a shortage is an event on the node, the same one that refused pods bring', async (t) => {
  const { server, kubernetes } = await start(t);
  server.putNode('17');
  await eventually(() => assert.ok(kubernetes.node!.node));
  const cause = 'PrefixFragmentation';
  const sentence = 'i-0a (t3.medium) can have no more addresses: subnet-0a is fragmented';
  for (let again = 0; again < 50; again++) kubernetes.short({ cause, sentence });
  kubernetes.refused({ metadata: {} }, new NoAddressError({ cause, sentence: 'no free address on i-0a' }));
  await eventually(() => assert.ok(server.events.length > 0));
  await kubernetes.close();
  const told = server.events.map(({ involvedObject, ...event }) => ({
    uid: (involvedObject as { uid: string }).uid,
    told: `${event.type} ${event.reason}: ${event.message}`,
  }));
  assert.deepEqual(told, [{ uid: 'uid-of-node-1', told: `Warning ${cause}: ${sentence}` }]);
});

test('a cause that goes on is counted up each minute, under its first sentence, and told anew after ten', async () => {
  let now = 0;
  const told: string[] = [];
  const event = (_: object, __: string, reason: string, message: string) =>
    told.push(`${reason}: ${message}`);
  const warnings = new Warnings({ event } as never, () => now);
  const about = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1' } };
  for (; now <= 11 * 60_000; now += 5_000) await warnings.tell('node', 'Throttled', `at ${now}`, () => about);
  await warnings.tell('node', 'Denied', 'another cause', () => about);
  assert.deepEqual(told, [
    ...Array(10).fill('Throttled: at 0'),
    ...Array(2).fill('Throttled: at 600000'),
    'Denied: another cause',
  ]);
});

test('the address is annotated after ADD and cleared after DEL, on the pod that is meant alone', async (t) => {
  const { server, kubernetes, held, follow } = await start(t, { annotatePodIps: true });
  const pod = (name: string, uid = `uid-of-${name}`) => {
    const annotations: Record<string, string> = {};
    server.pods.set(`default/${name}`, { uid, annotations });
    return annotations;
  };
  const [before, web, other] = [pod('before'), pod('web'), pod('other', 'uid-of-its-successor')];
  held.push(assignmentOf('before', '10.0.1.5', primaryEni));
  follow();
  await eventually(() => assert.equal(before[POD_IPS], '10.0.1.5', 'what a killed agent left undone'));

  const first = assignmentOf('web', '10.0.1.6', primaryEni);
  held.push(first);
  kubernetes.added(first, 'uid-of-web');
  await eventually(() => assert.equal(web[POD_IPS], '10.0.1.6'));
  const stale = assignmentOf('other', '10.0.1.7', primaryEni);
  held.push(stale);
  kubernetes.added(stale, 'uid-of-other');
  await eventually(() => assert.ok(server.written.some(({ path }) => path.endsWith('/other'))));

  // A new sandbox of the pod: DEL of the old one comes after ADD of the new one.
  const second = {
    ...assignmentOf('web', '10.0.1.8', primaryEni),
    key: { ...first.key, containerId: 'new' },
  };
  held.push(second);
  kubernetes.added(second, 'uid-of-web');
  held.splice(held.indexOf(first), 1);
  kubernetes.removed(first);
  await eventually(() => assert.equal(web[POD_IPS], '10.0.1.8'));
  assert.equal(other[POD_IPS], undefined);

  held.length = 0;
  kubernetes.removed(second);
  await eventually(() => assert.equal(web[POD_IPS], ''));
  // Somebody else's value stays, and what is gone is no error.
  before[POD_IPS] = '10.9.9.9';
  server.pods.delete('default/other');
  kubernetes.removed(assignmentOf('before', '10.0.1.5', primaryEni));
  kubernetes.removed(stale);
  await kubernetes.close();
  assert.equal(before[POD_IPS], '10.9.9.9');
});

test('annotations wait for an API server that is away', async (t) => {
  const { server, kubernetes, held, follow, warnings } = await start(t, { annotatePodIps: true });
  const annotations: Record<string, string> = {};
  server.pods.set('default/web', { uid: 'uid-of-web', annotations });
  server.status = 503;
  follow();
  const web = assignmentOf('web', '10.0.1.6', primaryEni);
  held.push(web);
  kubernetes.added(web);
  await eventually(() => assert.ok(server.written.length >= 3, 'tried again'));
  assert.deepEqual(warnings, ['the API server was not reached; the agent works on without it']);
  server.status = 0;
  await eventually(() => assert.equal(annotations[POD_IPS], '10.0.1.6'));
});

test('max-pods that differs is an event and a metric; a cordoned node is not schedulable', async (t) => {
  const { server, kubernetes, warnings, follow } = await start(t);
  const registry = new Registry();
  await kubernetes.showMetrics(registry);
  const shown = async () =>
    Object.fromEntries(
      (await registry.getMetricsAsJSON())[0]!.values.map(({ labels, value }) => [labels.source, value]),
    );
  assert.deepEqual([kubernetes.schedulable, await shown()], [true, {}]);
  follow();
  server.putNode('110');
  await eventually(() => assert.equal(server.events.length, 1));
  const [event] = server.events;
  assert.deepEqual([event!.reason, event!.type], ['MaxPodsMismatch', 'Warning']);
  assert.match(
    event!.message,
    /max-pods is 110, but t3\.medium .* addresses for 17 pods: .* 93 more .*--max-pods=17/,
  );
  assert.deepEqual(await shown(), { kubelet: 110, computed: 17 });

  server.putNode('110', [{ key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' }]);
  await eventually(() => assert.equal(kubernetes.schedulable, false));
  server.putNode('17', [{ key: 'node.kubernetes.io/disk-pressure', effect: 'NoSchedule' }]);
  await eventually(() => assert.equal(kubernetes.schedulable, true));
  assert.deepEqual(await shown(), { kubelet: 17, computed: 17 });
  assert.deepEqual(
    [server.events.length, warnings.length],
    [1, 1],
    'told once, however often the node changes',
  );
});

test('what a node takes follows from its instance and the mode of its pool', () => {
  const view = (mode: 'address' | 'prefix', draining: boolean, enis = 3, vcpus = 2) => {
    const primary = { id: 'eni-0', deviceNumber: 0, primary: true, since: 0, leaving: false };
    const pool = putEni(emptyPool(30_000, mode), { ...primary, draining, slots: [] });
    return { pool, bounds: { enis, slotsPerEni: 5 }, vcpus } as unknown as PoolView;
  };
  assert.equal(maxPodsOf(view('address', false)), 17);
  assert.equal(maxPodsOf(view('address', true)), 12);
  assert.equal(maxPodsOf(view('prefix', false)), 110);
  assert.equal(maxPodsOf(view('prefix', false, 4, 32)), 250, 'by the CPUs that EC2 tells');
  assert.equal(maxPodsOf(view('address', true, 1)), undefined);
  assert.match(
    maxPodsDifference({ kubelet: 17, computed: 110, instanceType: 't3.medium' })!,
    /93 can never be used; start the kubelet with --max-pods=110/,
  );
});

test('outside of a cluster there is nothing, and an API server that is not there stops nothing', async (t) => {
  const { log, warnings } = collectLog();
  const config = { nodeName: 'node-1', annotatePodIp: true };
  assert.equal(await openKubernetes({}, config, log), undefined);
  assert.equal(await openKubernetes({ KUBECONFIG: '/nonexistent' }, config, log), undefined);
  assert.equal(warnings.length, 1);

  const directory = mkdtempSync(join(tmpdir(), 'kubernetes-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const port = (await new TestApiServer().start().then(async (server) => {
    const { port } = server;
    await server.stop();
    return port;
  })) as number;
  const file = join(directory, 'kubeconfig');
  const [name, server] = ['x', `http://127.0.0.1:${port}`];
  writeFileSync(
    file,
    JSON.stringify({
      'current-context': name,
      contexts: [{ name, context: { cluster: name, user: name } }],
      clusters: [{ name, cluster: { server } }],
      users: [{ name, user: {} }],
    }),
  );
  const kubernetes = (await openKubernetes({ KUBECONFIG: file }, config, log))!;
  const pool = { assignments: () => [assignmentOf('web', '10.0.1.6', primaryEni)] };
  kubernetes.follow({ pool, instanceType: 't3.medium', maxPods: () => 17 });
  kubernetes.refused(
    { metadata: { k8sPodNamespace: 'x', k8sPodName: 'y' } },
    new NoAddressError({ cause: 'AddressLimit', sentence: 'full' }),
  );
  assert.deepEqual([kubernetes.schedulable, kubernetes.maxPods], [true, undefined]);
  // It comes back, and everything follows.
  const back = await new TestApiServer().start(port);
  back.pods.set('default/web', { uid: 'uid-of-web', annotations: {} });
  back.putNode('17');
  await eventually(() => assert.equal(kubernetes.maxPods?.kubelet, 17));
  await eventually(() => assert.equal(back.pods.get('default/web')!.annotations[POD_IPS], '10.0.1.6'));
  await kubernetes.close();
  await back.stop();
});
