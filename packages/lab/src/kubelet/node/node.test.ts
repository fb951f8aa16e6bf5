/** The node's object and its lease, on the lab's API server. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KubeClient, type Node, timestamp } from '@enid/kube';
import { eventually, ManualClock } from '@enid/kube/testing';
import { pino } from 'pino';
import { startTestApiServer } from '../../apiserver/apiserver.fixture.ts';
import { unknownConditions } from '../../control-loops/node-lifecycle/health.ts';
import type { KubeletOptions } from '../options.ts';
import { NodeRegistration } from './node.ts';
import { nodeInfoOf } from './node-info.ts';

const PATH = '/api/v1/nodes/node-1';
const OPTIONS = {
  ...{ nodeName: 'node-1', hostName: 'node-1', nodeAddress: '10.0.0.1', maxPods: 11 },
  capacity: { cpu: '2', memory: '1Gi' },
} as unknown as KubeletOptions;
const IMAGE = { id: 'i', repoTags: ['a:1'], repoDigests: [], size: 1_000 };

function registrationWith(client: KubeClient, clock: ManualClock): NodeRegistration {
  const facts = {
    info: nodeInfoOf({ runtimeName: 'containerd', runtimeVersion: 'v1.6.0' }),
    health: () => ({ runtimeProblem: undefined, networkProblem: undefined }),
    images: async () => [IMAGE] as never,
    port: 10250,
  };
  return new NodeRegistration(client, OPTIONS, facts, clock, pino({ level: 'silent' }));
}

const condition = ({ status }: Node, type: string) => status?.conditions?.find((each) => each.type === type);

test('a node that was called unknown says at its next look how it is; what others say of it stays', async (t) => {
  const api = await startTestApiServer();
  const client = new KubeClient(api.access);
  const clock = new ManualClock();
  const registration = registrationWith(client, clock);
  t.after(async () => {
    await registration.close();
    client.close();
    await api.stop();
  });
  await registration.start();
  const get = () => client.get<Node>(PATH);
  const since = condition(await get(), 'MemoryPressure')!.lastTransitionTime;

  const theirs = { type: 'KernelDeadlock', status: 'False', reason: 'KernelHasNoDeadlock' };
  const silent = { conditions: [...unknownConditions(await get(), clock.now())!, theirs] };
  const capacity = { 'example.com/card': '2' };
  await client.patch(`${PATH}/status`, { status: { ...silent, capacity } });
  await clock.advance(10_000);
  const node = await eventually(async () => {
    const now = await get();
    assert.equal(condition(now, 'Ready')?.status, 'True');
    return now;
  });
  for (const what of ['Memory', 'Disk', 'PID'])
    assert.equal(condition(node, `${what}Pressure`)?.status, 'False', what);
  assert.equal(condition(node, 'Ready')?.lastTransitionTime, timestamp(clock.now()));
  assert.notEqual(condition(node, 'MemoryPressure')?.lastTransitionTime, since);
  assert.deepEqual(condition(node, theirs.type), theirs);
  assert.equal(node.status?.capacity?.['example.com/card'], '2');

  // What the API has already is told again only to be heard of.
  await registration.tell();
  assert.deepEqual(await get(), node);
  await clock.advance(5 * 60_000);
  await registration.tell();
  const heard = await get();
  assert.equal(condition(heard, 'Ready')?.lastHeartbeatTime, timestamp(clock.now()));
  assert.equal(condition(heard, 'Ready')?.lastTransitionTime, condition(node, 'Ready')?.lastTransitionTime);
});

test('the lease is renewed also while the status cannot be told', async () => {
  const clock = new ManualClock();
  const node = { metadata: { name: 'node-1', uid: 'u' } };
  let silence: Promise<void> | undefined;
  const renewals: number[] = [];
  const client = {
    create: async () => node,
    get: async () => {
      await silence;
      return node;
    },
    patch: async (path: string) => {
      if (path.includes('/leases/')) renewals.push(clock.now());
      return node;
    },
  };
  const registration = registrationWith(client as unknown as KubeClient, clock);
  await registration.start();
  const { promise, resolve } = Promise.withResolvers<void>();
  silence = promise;
  const begun = clock.now();
  await clock.advance(30_000);
  assert.deepEqual(
    renewals.map((time) => time - begun),
    [0, 10_000, 20_000, 30_000],
  );
  resolve();
  await registration.close();
});
