/** Sandboxes that went without a DEL, as the kernel tells. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addLink, addRoute, deleteRoute, MAIN_TABLE, Rtnetlink, setLink } from '@enid/linux';
import { hostBlock } from '../../network/routing.ts';
import { assignmentOf, makeTestbed, primaryEni } from '../../network/testbed.ts';
import type { Assignment, SandboxKey } from '../../seams.ts';
import { TestClock } from '../../test-clock.ts';
import { withoutSandbox } from './kernel.ts';
import { netnsAt, sandboxMetadata } from './metadata.ts';
import { SandboxUpkeep } from './upkeep.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} } as never;

test('the kernel tells by the namespace, and by the route to a pod whose namespace nobody noted', (t) => {
  const bed = makeTestbed(t);
  const [pod, other] = [bed.makePod(), bed.makePod()];
  const at = (name: string, host: number, path?: string): Assignment => {
    const assignment = assignmentOf(name, `10.0.1.${host}`, primaryEni);
    const metadata = sandboxMetadata({ name, namespace: 'default', netns: path ? netnsAt(path) : undefined });
    return { ...assignment, metadata };
  };
  const noted = at('noted', 5, pod.path);
  // Somebody else's namespace at the path of one that is gone.
  const replaced = {
    ...noted,
    address: at('', 6).address,
    metadata: { ...noted.metadata, netns: other.path },
  };
  const vanished = {
    ...noted,
    address: at('', 7).address,
    metadata: { ...noted.metadata, netns: '/run/netns/x' },
  };
  const adopted = at('adopted', 8);
  const all = [noted, replaced, vanished, adopted];
  assert.deepEqual(withoutSandbox(all, bed.node), [replaced, vanished, adopted]);

  using netlink = Rtnetlink.open(bed.node);
  const peer = { name: 'eth0', netns: other.ns };
  netlink.execute([addLink({ kind: 'veth', name: 'eniadopted', up: true, peer })]);
  const oif = netlink.link('eniadopted')!.index;
  const route = { destination: hostBlock(adopted.address), oif, table: MAIN_TABLE };
  netlink.execute([setLink(oif, { up: true }), addRoute(route)]);
  assert.deepEqual(withoutSandbox(all, bed.node), [replaced, vanished]);
  netlink.execute([deleteRoute(route)]);
  assert.deepEqual(withoutSandbox(all, bed.node), [replaced, vanished, adopted]);
  assert.deepEqual(withoutSandbox([noted]), [], 'in the own namespace, nothing but the path is looked at');
});

test('what kernel and runtime lack twice, a minute apart, is released; nothing else is', async (t) => {
  const clock = new TestClock();
  const names = ['alive', 'gone', 'listed', 'busy', 'back'];
  let held = names.map((name, at) => assignmentOf(name, `10.0.1.${5 + at}`, primaryEni));
  const absent = new Set(['gone', 'listed', 'busy', 'back'].map((name) => `container-of-${name}`));
  const forgotten: string[] = [];
  let asked = 0;
  let answers = true;
  const upkeep = new SandboxUpkeep({
    pool: { assignments: () => held },
    plugin: {
      isBusy: ({ containerId }: SandboxKey) => containerId === 'container-of-busy',
      forget: async ({ containerId }: SandboxKey) => {
        forgotten.push(containerId);
        held = held.filter(({ key }) => key.containerId !== containerId);
      },
    },
    kernel: (assignments) => assignments.filter(({ key }) => absent.has(key.containerId)),
    runtime: async () => {
      asked++;
      if (!answers) throw new Error('the runtime is being restarted');
      return new Set(['container-of-alive', 'container-of-listed']);
    },
    clock,
    log: silent,
  }).start();
  t.after(() => upkeep[Symbol.asyncDispose]());

  await clock.settle();
  absent.delete('container-of-back');
  answers = false;
  await clock.advance(60_000);
  assert.deepEqual(forgotten, [], 'a look without an answer of the runtime decides nothing');
  answers = true;
  await clock.advance(60_000);
  assert.deepEqual(forgotten, ['container-of-gone']);

  // Gone, seen again, gone again: counted from anew.
  absent.add('container-of-back');
  await clock.advance(60_000);
  assert.deepEqual(forgotten, ['container-of-gone']);
  await clock.advance(60_000);
  assert.deepEqual(forgotten, ['container-of-gone', 'container-of-back']);

  held = held.filter(({ key }) => key.containerId === 'container-of-alive');
  const before = asked;
  await clock.advance(180_000);
  assert.equal(asked, before, 'the runtime is left alone while the kernel has every sandbox');
});
