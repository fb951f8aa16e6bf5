import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testNamespace } from '../testing.ts';
import { BackgroundRtnetlink } from './background.ts';
import { addLink, deleteLink, getLink } from './link.ts';
import { Rtnetlink } from './rtnetlink.ts';

test('requests are run in their order, each with its own answer', async (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  await using background = new BackgroundRtnetlink(ns);
  const names = Array.from({ length: 10 }, (_, at) => `br${at}`);
  const answers = await Promise.all([
    ...names.map((name) => background.run([addLink({ kind: 'bridge', name })])),
    background.run([addLink({ kind: 'bridge', name: 'br0' })]),
    background.run([deleteLink('br9'), deleteLink('br9')]),
  ]);
  assert.deepEqual(
    answers.flat().map(({ error }) => error?.code ?? null),
    [...names.map(() => null), 'EEXIST', null, 'ENODEV'],
  );
  const there = rtnetlink.links().map(({ name }) => name);
  assert.deepEqual(there, ['lo', ...names.slice(0, 9)]);
});

test('the event loop goes on meanwhile, and closing waits for what was asked for', async (t) => {
  const ns = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  const background = new BackgroundRtnetlink(ns);
  let answered = false;
  const made = background.run([addLink({ kind: 'bridge', name: 'br0' })]).then(() => {
    answered = true;
  });
  assert.equal(answered, false);
  await background.close();
  assert.ok(rtnetlink.link('br0'));
  await made;
});

test('what was made and what was asked for is told, in the namespace of each socket', async (t) => {
  const ns = testNamespace(t);
  const other = testNamespace(t);
  using rtnetlink = Rtnetlink.open(ns);
  using elsewhere = Rtnetlink.open(other);
  await using background = new BackgroundRtnetlink(ns);
  const [[made], [asked, refused]] = await Promise.all([
    background.run([addLink({ kind: 'veth', name: 'near', up: true, peer: { name: 'far', netns: other } })]),
    background.run([getLink('far'), getLink('near')], elsewhere),
  ]);
  const { index, mac, peerIndex } = rtnetlink.link('near')!;
  if (made!.link) {
    assert.deepEqual([made!.link.name, made!.link.index, made!.link.mac], ['near', index, mac]);
    assert.equal(made!.link.peerIndex, peerIndex);
    assert.ok(made!.link.up);
  }
  assert.equal(asked!.link!.index, peerIndex);
  assert.equal(refused!.error!.code, 'ENODEV');
  assert.equal(refused!.link, undefined);
});

test('who is answered may ask again at once', async (t) => {
  const ns = testNamespace(t);
  await using background = new BackgroundRtnetlink(ns);
  for (let round = 0; round < 20; round += 1) {
    const [answer] = await background.run([getLink('lo')]);
    assert.equal(answer!.link!.name, 'lo');
  }
});
