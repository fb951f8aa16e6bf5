import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ManualClock } from './clock.fixture.ts';
import { EventRecorder } from './event-recorder.ts';
import { PodServer } from './list-watch.fixture.ts';
import type { CoreEvent } from './wire.ts';

it('counts up one Event for what happens again, and begins another for what is different', async (t) => {
  const server = await new PodServer().start();
  t.after(() => server.stop());
  const clock = new ManualClock();
  const recorder = new EventRecorder({ client: server.client, component: 'kubelet', host: 'node-1', clock });
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a', namespace: 'x', uid: 'uid-a' } };
  const pull = () => recorder.event(pod, 'Warning', 'Failed', 'no such image');

  pull();
  await recorder.close();
  await clock.advance(5_000);
  for (let i = 0; i < 3; i++) pull();
  recorder.event(pod, 'Normal', 'Pulled', 'got it');
  await recorder.close();
  await clock.advance(11 * 60_000);
  pull();
  await recorder.close();

  const [created, ...rest] = server.written;
  const event = created!.body as CoreEvent;
  assert.equal(created!.path, '/api/v1/namespaces/x/events');
  assert.match(event.metadata.name!, /^a\.[0-9a-f]{16}$/);
  assert.deepEqual(
    [event.count, event.involvedObject.uid, event.source, event.firstTimestamp],
    [1, 'uid-a', { component: 'kubelet', host: 'node-1' }, '2026-01-01T12:00:00Z'],
  );
  const counts = rest.map(({ method, path, body }) => {
    const { count, lastTimestamp, reason } = body as CoreEvent;
    return [method, path.split('/').at(-1) === event.metadata.name, count, lastTimestamp, reason];
  });
  const patches = counts.filter(([method]) => method === 'PATCH');
  assert.deepEqual(patches.at(-1), ['PATCH', true, 4, '2026-01-01T12:00:05Z', undefined]);
  assert.deepEqual(
    counts.filter(([method]) => method === 'POST').map(([, , count, at, reason]) => [count, at, reason]),
    [
      [1, '2026-01-01T12:00:05Z', 'Pulled'],
      [1, '2026-01-01T12:11:05Z', 'Failed'],
    ],
  );
});
