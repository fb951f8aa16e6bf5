import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { StoredObject } from '../object.ts';
import type { Event } from '../storage/event.ts';
import { History } from '../storage/history.ts';
import { Watch } from './watch.ts';

const object = (name: string, revision: number, color: string): StoredObject =>
  ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, uid: name, resourceVersion: String(revision), labels: { color } },
  }) as StoredObject;

/** A resource's objects with their history. */
function newResource(events = 1000) {
  const history = new History(0, { events, bytes: 1e9 });
  const objects = new Map<string, StoredObject>();
  let revision = 0;
  const change = (name: string, color: string | null) => {
    const previous = objects.get(name);
    if (color === null && !previous) return;
    revision += 1;
    const next = object(name, revision, color ?? previous!.metadata.labels!.color!);
    if (color === null) objects.delete(name);
    else objects.set(name, next);
    const type: Event['type'] = color === null ? 'DELETED' : previous ? 'MODIFIED' : 'ADDED';
    history.append({ revision, type, key: name, object: next, size: 1, ...(previous && { previous }) });
  };
  return { history, objects, change };
}

function drain(watch: Watch, view: Map<string, string>): void {
  for (;;) {
    const begun = watch.begun;
    const change = watch.next();
    if (!change && begun) return;
    if (!change) continue;
    const { name, labels, resourceVersion } = change.object.metadata;
    if (change.type === 'ADDED') assert.ok(!view.has(name), `${name} is new`);
    else assert.ok(view.has(name), `${name} was known before it was ${change.type}`);
    if (change.type === 'DELETED') {
      // Its last state that the client could see, at the version of the change that took it away.
      assert.equal(labels!.color, 'red');
      view.delete(name);
    } else view.set(name, resourceVersion);
  }
}

test('who watches a selection sees what is in it, however objects come and go', () => {
  const steps = fc.array(
    fc.record({
      name: fc.constantFrom('a', 'b', 'c'),
      color: fc.constantFrom('red', 'blue', null),
      drains: fc.boolean(),
    }),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(steps, steps, (before, later) => {
      const { history, objects, change } = newResource();
      for (const { name, color } of before) change(name, color);
      const red = ({ metadata }: StoredObject) => metadata.labels?.color === 'red';
      const watch = new Watch(history, [...objects.values()], history.end, red);
      const resumed = new Watch(history, [], history.after(0)!, red);
      const [view, other] = [new Map<string, string>(), new Map<string, string>()];
      for (const { name, color, drains } of later) {
        change(name, color);
        if (drains) drain(watch, view);
      }
      drain(watch, view);
      drain(resumed, other);
      const expected = [...objects.values()]
        .filter(red)
        .map((o) => [o.metadata.name, o.metadata.resourceVersion]);
      assert.deepEqual([...view].sort(), expected.sort());
      assert.deepEqual([...other].sort(), expected.sort());
    }),
  );
});

test('what is told up to is never more than what was told', () => {
  const { history, objects, change } = newResource();
  change('a', 'red');
  const watch = new Watch(history, [...objects.values()], history.end, () => true);
  change('b', 'red');
  change('c', 'red');
  drainOne(watch);
  assert.equal(watch.toldUpTo(9), 1, 'b is still to be told');
  watch.next();
  assert.equal(watch.next()?.object.metadata.name, 'b');
  assert.equal(watch.toldUpTo(9), 2);
  assert.equal(watch.next()?.object.metadata.name, 'c');
  assert.equal(watch.toldUpTo(9), 9, 'nothing is left of the resource, so the latest of all');
});

function drainOne(watch: Watch): void {
  assert.equal(watch.next()?.type, 'ADDED');
}

test('a watch is lost when what it had to tell is forgotten, and not a change earlier', () => {
  const { history, change } = newResource(3);
  const watch = new Watch(history, [], history.end, () => true);
  for (let i = 0; i < 3; i += 1) change('a', i % 2 ? 'red' : 'blue');
  assert.equal(watch.lost, false);
  assert.equal(history.after(0), 0);
  change('a', 'red');
  assert.equal(watch.lost, true);
  assert.equal(history.after(0), undefined);
  assert.notEqual(history.after(1), undefined);
  for (let i = 0; i < 20; i += 1) change('a', i % 2 ? 'red' : 'blue');
  assert.equal(history.compacted, 21);
  assert.deepEqual(
    [...history.backTo(21)].map(({ revision }) => revision),
    [24, 23, 22],
  );
});
