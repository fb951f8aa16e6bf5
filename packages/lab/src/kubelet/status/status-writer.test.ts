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
      const { promise, resolve } = Promise.withResolvers<void>();
      setImmediate(() => {
        // After the writer has seen its answer, and before anything else.
        if (phase === 'Pending') void promise.then(() => writer.publish(pod, { phase: 'Running' }));
        resolve();
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
