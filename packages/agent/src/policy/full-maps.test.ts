/** From policies of an API server to the packets of pods, where the kernel's maps are too small. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventRecorder, type KubeObject } from '@enid/kube';
import { eventually, WatchedApi } from '@enid/kube/testing';
import { pino } from 'pino';
import { TestClock } from '../test-clock.ts';
import { passes, Testbed, type TestPod, udp } from './data-plane/testbed.ts';
import { PolicyModule } from './policy-module.ts';

const PODS = '/api/v1/pods';
const ENDPOINTS = '/apis/networking.k8s.aws/v1alpha1/policyendpoints';

const pod = (name: string): KubeObject => ({
  metadata: { namespace: 'shop', name, uid: `uid of ${name}`, labels: { app: name } },
});
const allowing = (app: string, addresses: readonly string[]) =>
  ({
    metadata: { namespace: 'shop', name: app },
    spec: {
      podIsolation: ['Ingress'],
      podSelector: { matchLabels: { app } },
      policyRef: { namespace: 'shop', name: app },
      ingress: addresses.map((address, rule) => ({ cidr: `${address}/32`, rule })),
    },
  }) as KubeObject;

test('a pod whose policies the maps cannot hold is closed, with an event of it, and opens again when there is room', async (t) => {
  const bed = new Testbed(t);
  const [client, web, db] = [bed.pod(), bed.pod(), bed.pod()];
  const plane = await bed.open({ sizes: { peers: 20, verdicts: 100 } });
  const api = await new WatchedApi().start();
  t.after(() => api[Symbol.asyncDispose]());
  const events: Record<string, unknown>[] = [];
  api.onWrite = (_, object) => events.push(object as never);
  api.put('/api/v1/namespaces', { metadata: { name: 'shop' } });
  for (const name of ['client', 'web', 'db']) api.put(PODS, pod(name));
  for (const app of ['web', 'db']) api.put(ENDPOINTS, allowing(app, [client.address]));
  const recorder = new EventRecorder({
    ...{ client: api.client, component: 'aws-node', host: 'node-1' },
    onError: assert.ifError,
  });
  const module = new PolicyModule({
    ...{ client: api.client, nodeName: 'node-1', mode: 'standard', log: 'denied', plane, recorder },
    ...{ links: () => [], clock: new TestClock(), logger: pino({ level: 'silent' }) },
  });
  t.after(() => module[Symbol.asyncDispose]());
  await module.synced;
  for (const [name, { ifindex }] of Object.entries({ client, web, db })) {
    const metadata = { k8sPodNamespace: 'shop', k8sPodName: name };
    await module.guard({ metadata, uid: `uid of ${name}` }, ifindex);
  }
  const reached = (to: TestPod) => passes(plane, client, to, udp({ from: client, to }, 4000, 53));
  assert.deepEqual([await reached(web), await reached(db)], [true, true]);

  const many = Array.from({ length: 30 }, (_, i) => `10.0.1.${i + 1}`);
  assert.ok(many.includes(client.address), 'it would be allowed');
  api.put(ENDPOINTS, allowing('web', many));
  const [event] = await eventually(() => {
    assert.equal(events.length, 1);
    return events;
  });
  const { reason, type, message, involvedObject, regarding } = event as {
    [field: string]: { name: string; uid: string };
  };
  assert.deepEqual([type, reason], ['Warning', 'PolicyNotHeld']);
  const { name, uid } = involvedObject ?? regarding!;
  assert.deepEqual([name, uid], ['web', 'uid of web']);
  assert.match(String(message), /closed: the map peers has room for 20 entries.*use fewer blocks or ports/);
  // The flow that was there is closed too, and the other pod goes on.
  assert.deepEqual([await reached(web), await reached(db)], [false, true]);

  api.put(ENDPOINTS, allowing('web', [client.address]));
  await eventually(async () => assert.equal(await reached(web), true));
  assert.equal(events.length, 1);
});
