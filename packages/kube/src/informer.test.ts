import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ManualClock } from './clock.fixture.ts';
import { eventually } from './eventually.fixture.ts';
import { Informer } from './informer.ts';
import { PodServer } from './list-watch.fixture.ts';
import type { Pod } from './wire.ts';

describe('Informer', () => {
  let server: PodServer;
  let informer: Informer<Pod, 'node'>;
  let errors: string[];
  let changes: string[];

  beforeEach(async () => {
    server = await new PodServer().start();
    server.put('a', 'uid-a');
    errors = [];
    changes = [];
    informer = new Informer<Pod, 'node'>({
      client: server.client,
      path: '/api/v1/pods',
      indexes: { node: (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []) },
      onError: (error) => errors.push(error.message),
      random: () => 0,
    });
    informer.onChange((old, now) =>
      changes.push(`${old?.metadata?.uid ?? '-'} ${now?.metadata?.uid ?? '-'}`),
    );
    await informer.synced;
    await eventually(() => assert.equal(server.watching, 1));
  });

  afterEach(async () => {
    await informer.stop();
    await server.stop();
  });

  it('follows changes and finds objects by index', async () => {
    server.put('b', 'uid-b');
    server.put('a', 'uid-a', 'node-2');
    await eventually(() => assert.equal(informer.get('default/a')?.spec?.nodeName, 'node-2'));
    assert.deepEqual(changes, ['- uid-a', '- uid-b', 'uid-a uid-a']);
    const names = (node: string) => informer.by('node', node).map((pod) => pod.metadata?.name);
    assert.deepEqual([names('node-1'), names('node-2')], [['b'], ['a']]);
    server.delete('b');
    await eventually(() => assert.deepEqual(names('node-1'), []));
    assert.equal(changes.at(-1), 'uid-b -');
  });

  it('resumes a watch that ended or broke where it was, bookmarks included', async () => {
    server.bookmark();
    server.put('b', 'uid-b');
    server.bookmark();
    await eventually(() => assert.ok(informer.get('default/b')));
    for (const how of ['end', 'destroy'] as const) {
      server.hangUp(how);
      server.put(how, `uid-${how}`);
      await eventually(() => assert.ok(informer.get(`default/${how}`)));
    }
    assert.deepEqual(server.asked, ['list', 'watch 101', 'watch 104', 'watch 105']);
    assert.deepEqual(changes, ['- uid-a', '- uid-b', '- uid-end', '- uid-destroy']);
  });

  it('lists again when its version is too old, and tells what it missed', async () => {
    server.put('b', 'uid-b');
    await eventually(() => assert.ok(informer.get('default/b')));
    server.hangUp('end');
    server.delete('b');
    server.delete('a');
    server.put('a', 'uid-a-2');
    server.put('c', 'uid-c');
    server.forget();
    await eventually(() => assert.ok(informer.get('default/c')));
    assert.deepEqual(server.asked.slice(0, 4), ['list', 'watch 101', 'watch 102', 'list']);
    // "a" is another object of the same name: the end of the one is not hidden behind the other.
    assert.deepEqual(changes.slice(2).sort(), ['- uid-a-2', '- uid-c', 'uid-a -', 'uid-b -']);
    assert.deepEqual(errors, []);
  });

  it('has the same objects after a list that tells nothing new of them', async () => {
    server.put('b', 'uid-b');
    await eventually(() => assert.ok(informer.get('default/b')));
    const before = informer.get('default/a');
    server.hangUp('end');
    server.put('c', 'uid-c');
    server.forget();
    await eventually(() => assert.ok(informer.get('default/c')));
    assert.equal(informer.get('default/a'), before);
    assert.equal(informer.by('node', 'node-1')[0], before);
    assert.deepEqual(changes, ['- uid-a', '- uid-b', '- uid-c']);
  });

  it('survives handlers that throw, and says so', async () => {
    informer.onChange(() => {
      throw new Error('handler is broken');
    });
    server.put('b', 'uid-b');
    await eventually(() => assert.ok(informer.get('default/b')));
    assert.equal(changes.at(-1), '- uid-b');
    assert.match(errors[0]!, /informer of \/api\/v1\/pods: .*handler is broken/);
  });

  it('is live while a watch is open, and lists at once after failures when somebody waits for that', async () => {
    const clock = new ManualClock();
    const patient = new Informer<Pod>({
      ...{ client: server.client, path: '/api/v1/pods', clock },
      onError: (error) => errors.push(error.message),
    });
    await patient.synced;
    await patient.live();
    server.isDown = true;
    server.hangUp('destroy');
    await eventually(() => assert.equal(clock.next !== undefined, true));
    server.put('b', 'uid-b');
    server.isDown = false;
    // Time stands still: of itself it would never try again.
    await patient.live();
    assert.ok(patient.get('default/b'));
    server.isDown = true;
    server.hangUp('destroy');
    await eventually(() => assert.equal(clock.next !== undefined, true));
    const waiting = assert.rejects(patient.live(), /was stopped/);
    await patient.stop();
    await waiting;
  });

  it('goes on trying until the server is there', async () => {
    const other = await new PodServer().start();
    await other.stop();
    const failures: string[] = [];
    const lost = new Informer<Pod>({
      client: other.client,
      path: '/api/v1/pods',
      onError: (error) => failures.push(error.message),
      random: () => 0,
    });
    await eventually(() => assert.equal(failures.length, 2));
    await lost.stop();
    await assert.rejects(lost.synced, /stopped before its first list/);
  });
});
