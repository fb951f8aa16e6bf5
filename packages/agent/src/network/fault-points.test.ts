/**
 * Promise under test: an agent that is killed (SIGKILL) at any step of wiring a pod, or of taking it down, leaves a node that
 * the next one puts right: a pod that runs keeps its network all the time, and no link, route, rule or address is left of one
 * that does not.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Ipv4 } from '@enid/ip';
import { type NetNamespace, Rtnetlink } from '@enid/linux';
import { FAULT_POINTS, type FaultPoint } from '../fault-point.ts';
import { keyOf, MortalAgent, pass } from '../pool/mortal-agent.fixture.ts';
import { LIVING, MortalNode, netnsOf } from './mortal-node.fixture.ts';
import { hostBlock, ROUTING_PROTOCOL } from './routing.ts';
import { ip, makeTestbed, type Testbed } from './testbed.ts';

const PROGRAM = join(import.meta.dirname, 'mortal-node.fixture.ts');
const POINTS = FAULT_POINTS.filter((point) => /^(link|add|del)-|^(assign|release)-written/.test(point));

/** Of a pod by itself while another lives, and of pods together; what is around the wiring, once. */
function timesOf(point: FaultPoint): number[] {
  if (!point.startsWith('link-')) return [3];
  return /-(made|routed|connected)$/.test(point) ? [2, 3] : [1, 3];
}

/** Lives in a process of its own that is killed at the point. @returns whether it came there. */
async function killedAt(point: string, folder: string, bed: string): Promise<boolean> {
  const env = { PATH: process.env.PATH, ENID_FAULT_POINT: point };
  const child = spawn(process.execPath, [PROGRAM, folder, bed], { env, stdio: 'inherit' });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.once('exit', (...end) => resolve(end)),
  );
  if (signal === 'SIGKILL') return true;
  assert.equal(code, 0, `the agent failed by itself at ${point}`);
  return false;
}

const pings = (from: NetNamespace, address: Ipv4): boolean =>
  from.run(() => spawnSync('ping', ['-c1', '-W1', address])).status === 0;

/** The next agent takes over; then everything must be in order. */
async function recover(folder: string, bed: Testbed, pods: readonly NetNamespace[]): Promise<void> {
  const last = new Map(MortalAgent.notes(folder).map((note) => [note.pod, note]));
  const held = new Map<number, Ipv4>();
  for (const { pod, call, answer, address } of last.values())
    if (call === 'ADD' && answer === 'done') held.set(pod, address!);
  const verifyTraffic = () => {
    for (const [pod, address] of held) {
      assert.ok(pings(bed.node, address), `pod ${pod} is cut off from its node`);
      for (const other of held.keys())
        assert.ok(other === pod || pings(pods[other]!, address), `pod ${other} does not reach ${pod}`);
    }
  };
  verifyTraffic(); // There is no agent.
  await using node = await MortalNode.start(folder, bed.name, {});
  const { clock, pool } = node.agent;
  verifyTraffic();
  // The runtime sends DEL for whatever it was not answered about, and makes another pod.
  const open = [...last.values()].filter(({ answer }) => answer !== 'done').map(({ pod }) => pod);
  const ends = open.map((pod) => node.agent.call('DEL', pod));
  const added = await pass(clock, 1_000, [node.agent.call('ADD', LIVING)]);
  for (const { answer } of [...(await Promise.all(ends)), ...added]) assert.equal(answer, 'done');
  assert.ok(![...held.values()].includes(added[0]!.address!), 'an address was given to a second pod');
  held.set(LIVING, added[0]!.address!);
  await node.network.reconcile(pool.assignments());
  await node.pods.settled();

  verifyTraffic();
  verifyKernel(bed, pods, node, held);
}

/** That the kernel has all that belongs to the pods, and nothing else. */
function verifyKernel(
  bed: Testbed,
  pods: readonly NetNamespace[],
  { pods: wiring, agent: { pool } }: MortalNode,
  held: ReadonlyMap<number, Ipv4>,
): void {
  const blocks = [...held.values()].map(hostBlock).sort();
  const given = pool.assignments();
  assert.deepEqual(given.map(({ address }) => hostBlock(address)).sort(), blocks);
  for (const [pod, address] of held) {
    const assignment = pool.lookup(keyOf(pod))!;
    assert.equal(assignment.address, address);
    using sandbox = wiring.open(netnsOf(bed.name, pod));
    assert.deepEqual(wiring.check(assignment, sandbox), []);
  }
  using netlink = Rtnetlink.open(bed.node);
  const links = netlink.links().filter(({ kind, name }) => kind === 'veth' && name.startsWith('eni'));
  assert.deepEqual(
    links.map(({ name }) => name).sort(),
    given.map((each) => wiring.hostName(each)).sort(),
    'links of pods',
  );
  const routes = netlink.routes({ family: 4 }).filter(({ protocol }) => protocol === ROUTING_PROTOCOL);
  assert.deepEqual(routes.map(({ destination }) => destination).sort(), blocks, 'routes to pods');
  const rules = netlink.rules(4).filter(({ priority }) => priority === 512 || priority === 1536);
  assert.deepEqual([...new Set(rules.map(({ to, from }) => to ?? from))].sort(), blocks, 'rules of pods');
  for (const [pod, ns] of pods.entries()) {
    const inside = ip(ns, 'link').map(({ ifname }: { ifname: string }) => ifname);
    assert.deepEqual(inside, held.has(pod) ? ['lo', 'eth0'] : ['lo'], `links in pod ${pod}`);
  }
}

test('an agent that is killed while it wires a pod, or takes one down, is put right by the next', {
  timeout: 120_000,
}, async (t) => {
  // In memory, as /var/run is on a node: a disk would lag behind the clock, which runs faster than time.
  const folder = mkdtempSync(
    join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), `${process.env.ENID_TEST_RUN ?? 'enid'}-wiring-`),
  );
  t.after(() => rmSync(folder, { recursive: true }));
  const missed: string[] = [];
  const plays = POINTS.flatMap((point) => timesOf(point).map((times) => `${point}:${times}`)).values();
  const worker = async () => {
    for (const point of plays) {
      await using stack = new AsyncDisposableStack();
      const bed = makeTestbed({ after: (end) => stack.defer(end as () => void) });
      const pods = Array.from({ length: LIVING + 1 }, () => bed.makePod().ns);
      const own = mkdtempSync(join(folder, 'play-'));
      if (!(await killedAt(point, own, bed.name))) {
        missed.push(point);
        continue;
      }
      await recover(own, bed, pods).catch((cause: Error) => {
        throw new Error(`killed at ${point}: ${cause.message}`, { cause });
      });
    }
  };
  await Promise.all([worker(), worker()]);
  assert.deepEqual(missed, [], 'the life did not come to these points');
});
