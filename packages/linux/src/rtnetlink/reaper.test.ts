import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testNamespace } from '../testing.ts';
import { addLink } from './link.ts';
import { LinkReaper } from './reaper.ts';
import { Rtnetlink } from './rtnetlink.ts';

test('links are deleted by name and index, many at once, off the event loop', async (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  await using reaper = new LinkReaper(ns);
  const make = (i: number) =>
    addLink({ kind: 'veth', name: `v${i}`, index: 100 + 2 * i, peer: { name: `w${i}`, index: 101 + 2 * i } });
  const pairs = Array.from({ length: 100 }, (_, i) => i);
  rtnetlink.execute(pairs.map(make));
  rtnetlink.execute([addLink({ kind: 'bridge', name: 'stays' })]);

  let turns = 0;
  const counter = setInterval(() => {
    turns += 1;
  }, 1);
  // Both ends of each, by either way to name them.
  await Promise.all(pairs.flatMap((i) => [reaper.delete(`v${i}`), reaper.delete(101 + 2 * i)]));
  clearInterval(counter);
  assert.deepEqual(
    rtnetlink.links().map(({ name }) => name),
    ['lo', 'stays'],
  );
  assert.ok(turns > 0, 'the event loop went on');

  await reaper.delete('v0');
  await reaper.delete(4711);
});

test('deletions that are asked for meanwhile are done too', async (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  await using reaper = new LinkReaper(ns);
  rtnetlink.execute([1, 2, 3].map((i) => addLink({ kind: 'veth', name: `v${i}`, peer: { name: `w${i}` } })));
  const first = reaper.delete('v1');
  const { promise, resolve } = Promise.withResolvers<void>();
  setImmediate(() => resolve(reaper.delete('w2')));
  await first;
  await Promise.all([promise, reaper.delete('v3'), reaper.delete('v3')]);
  assert.deepEqual(
    rtnetlink.links().map(({ name }) => name),
    ['lo'],
  );
});

test('a link that cannot be deleted does not keep the others', async (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  await using reaper = new LinkReaper(ns);
  rtnetlink.execute([1, 2].map((i) => addLink({ kind: 'veth', name: `v${i}`, peer: { name: `w${i}` } })));
  const results = await Promise.allSettled([reaper.delete('v1'), reaper.delete('lo'), reaper.delete('v2')]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  assert.equal((results[1] as PromiseRejectedResult).reason.code, 'EOPNOTSUPP');
  assert.deepEqual(
    rtnetlink.links().map(({ name, group }) => [name, group]),
    [['lo', 0]],
  );
});

test('closing waits for what was asked for', async (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  const reaper = new LinkReaper(ns);
  rtnetlink.execute([addLink({ kind: 'veth', name: 'v1', peer: { name: 'w1' } })]);
  const deleted = reaper.delete('v1');
  await reaper.close();
  assert.equal(rtnetlink.link('v1'), undefined);
  await deleted;
});
