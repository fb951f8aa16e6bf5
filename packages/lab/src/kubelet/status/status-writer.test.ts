import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeClient, Pod } from '@enid/kube';
import { pino } from 'pino';
import { StatusWriter } from './status-writer.ts';

test('what is published in the very moment in which all was told is told too', async () => {
  const pod = { metadata: { name: 'p', namespace: 'default', uid: 'u' } } as Pod;
  const told: unknown[] = [];
  const done = Promise.withResolvers<void>();
  const client = {
    patch: (_path: string, { status: { phase } }: { status: { phase: string } }) => {
      told.push(phase);
      if (phase === 'Running') done.resolve();
      const { promise, resolve } = Promise.withResolvers<Pod>();
      setImmediate(() => {
        // After the writer has seen its answer, and before anything else.
        if (phase === 'Pending') void promise.then(() => writer.publish(pod, { phase: 'Running' }));
        resolve(pod);
      });
      return promise;
    },
  };
  const writer = new StatusWriter(client as unknown as KubeClient, pino({ level: 'silent' }));
  writer.publish(pod, { phase: 'Pending' });
  await Promise.race([done.promise, new Promise((resolve) => setTimeout(resolve, 2000).unref())]);
  assert.deepEqual(told, ['Pending', 'Running']);
  await writer.close();
});

test('what others say instead is put right, what they have added stays, and what is older counts for nothing', async () => {
  const metadata = { name: 'p', namespace: 'default', uid: 'u' };
  const seen = (resourceVersion: string, status: Pod['status'] = {}): Pod =>
    ({ metadata: { ...metadata, resourceVersion }, status }) as Pod;
  const ready = (status: string, more = {}) => ({ type: 'Ready', status, lastTransitionTime: 't', ...more });
  const told: Pod['status'][] = [];
  const client = {
    patch: async (_path: string, { status }: { status: Pod['status'] }) => {
      told.push(status);
      return seen(`${told.length}0`);
    },
  };
  const writer = new StatusWriter(client as unknown as KubeClient, pino({ level: 'silent' }));
  const publish = async (pod: Pod, wanted: Pod['status']) => {
    writer.publish(pod, wanted!);
    await writer.flush(pod);
  };
  const running = { phase: 'Running', conditions: [ready('True')] };
  await publish(seen('1'), running);
  assert.deepEqual(told, [running]);

  const gate = { type: 'gate', status: 'True' };
  await publish(seen('2', { phase: 'Pending' }), running);
  await publish(seen('10', running), running);
  await publish(seen('11', { phase: 'Running', conditions: [gate, ready('True')] }), running);
  assert.equal(told.length, 1, 'nothing is told that the API has');

  const marked = { phase: 'Running', conditions: [gate, ready('False', { reason: 'NodeNotReady' })] };
  await publish(seen('12', marked), running);
  assert.deepEqual(told.slice(1), [{ phase: 'Running', conditions: [ready('True', { reason: null })] }]);
  await writer.close();
});
