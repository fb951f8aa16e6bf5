/**
 * Promise under test: an agent that is killed (SIGKILL) at any step of ADD, DEL, attachment, assignment and checkpoint leaves
 * a node that the next one puts right: no address is lost, none has two holders, no ENI and no allocation is left behind.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Ipv4 } from '@enid/ip';
import { slotKey } from '@enid/ipam';
import { FAULT_POINTS, type FaultPoint } from '../fault-point.ts';
import { attachmentId } from '../network/names.ts';
import { keyOf, Links, MortalAgent, type Note, pass } from './mortal-agent.fixture.ts';

const PROGRAM = join(import.meta.dirname, 'mortal-agent.fixture.ts');
const COOLDOWN = 30_000;
/** Those of pods' links are for the kernel, not for links that are written down: `network/fault-points.test.ts` plays them. */
const POINTS = FAULT_POINTS.filter((point) => !point.startsWith('link-'));

/** Ways to live; between them they come to every point. */
const LIVES = [
  { name: 'single addresses', env: { WARM_ENI_TARGET: '1' }, pods: 12 },
  { name: 'prefixes', env: { ENABLE_PREFIX_DELEGATION: 'true' }, pods: 70 },
];

/** Lives in a process of its own that is killed at the point. @returns whether it came there. */
async function killedAt(point: string, folder: string, life: (typeof LIVES)[number]): Promise<boolean> {
  const env = { PATH: process.env.PATH, ...life.env, ENID_FAULT_POINT: point };
  const child = spawn(process.execPath, [PROGRAM, folder, `${life.pods}`], { env, stdio: 'inherit' });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.once('exit', (...end) => resolve(end)),
  );
  if (signal === 'SIGKILL') return true;
  assert.equal(code, 0, `the agent failed by itself at ${point}`);
  return false;
}

/** By pod, the last that the runtime noted. */
const lastOf = (notes: readonly Note[]): Map<number, Note> => new Map(notes.map((note) => [note.pod, note]));

/** The next agent takes over; then everything must be in order. */
async function recover(folder: string, { env }: (typeof LIVES)[number]): Promise<void> {
  const notes = MortalAgent.notes(folder);
  const last = lastOf(notes);
  const links = new Links(folder);
  await using agent = await MortalAgent.start(folder, env, links);
  const { clock, cloud, pool } = agent;
  const held = new Map<number, Ipv4>();
  for (const { pod, call, answer, address } of last.values()) {
    if (call === 'ADD' && answer === 'done') held.set(pod, address!);
  }
  const verifyHeld = () => {
    for (const [pod, address] of held) {
      assert.equal(pool.lookup(keyOf(pod))?.address, address, `pod ${pod} lost ${address}`);
      assert.equal(links.wired.get(address), attachmentId(keyOf(pod)), `pod ${pod} lost its link`);
    }
    const given = pool.assignments().map(({ address }) => address);
    assert.equal(new Set(given).size, given.length, 'an address has two holders');
  };
  verifyHeld();
  // New pods at once: neither what is held nor what rests may go to them.
  const resting = new Map<Ipv4, number>();
  for (const note of notes) {
    const added = notes.find(({ pod, call, address }) => pod === note.pod && call === 'ADD' && address);
    // It rests from some time between the call and its answer.
    if (note.call === 'DEL' && !note.answer && added) resting.set(added.address!, note.at);
  }
  const calls = [300, 301, 302].map((pod) => agent.call('ADD', pod));
  for (const { pod, answer, address, at } of await pass(clock, 10_000, calls)) {
    if (answer !== 'done') continue;
    assert.ok(![...held.values()].includes(address!), `${address} was given to a second pod`);
    assert.ok(
      at - (resting.get(address!) ?? -Infinity) >= COOLDOWN,
      `${address} was given out while it rests`,
    );
    held.set(pod, address!);
  }
  verifyHeld();
  // The runtime sends DEL for whatever it was not answered about.
  const open = [...last.values()].filter((note) => !note.answer || note.answer === 'failed');
  const ends = open.map(({ pod }) => agent.call('DEL', pod));
  const answers = await pass(clock, 10_000, ends);
  assert.ok(answers.every(({ answer }) => answer === 'done'));
  await pass(clock, 300_000);
  verifyHeld();
  assert.equal(pool.assignments().length, held.size, 'an allocation is left behind');
  const inUse = new Set(pool.view.pool.enis.map(({ id }) => id));
  for (const eni of cloud.enis.values()) {
    assert.ok(eni.attachment && inUse.has(eni.id), `${eni.id} was left behind: ${JSON.stringify(eni)}`);
    assert.ok(eni.attachment.deleteOnTermination, `${eni.id} would outlive the instance`);
  }
  const carried = pool.view.pool.enis.flatMap(({ slots }) => slots.map(slotKey));
  const real = [...cloud.enis.values()].flatMap((eni) => [...eni.addresses, ...eni.prefixes]);
  assert.deepEqual(carried.sort(), real.sort(), 'the pool does not know what the ENIs carry');
}

/** Those of pods are come to many times, and tried in the midst of it, too; with prefixes, only ENIs and slots differ. */
function timesOf(point: FaultPoint, { env }: (typeof LIVES)[number]): number[] {
  if (/^(eni|slots)-/.test(point)) return [1];
  return env.ENABLE_PREFIX_DELEGATION ? [] : [1, 4];
}

test('an agent that is killed at any fault point is put right by the next', {
  timeout: 120_000,
}, async (t) => {
  // In memory, as /var/run is on a node: a disk would lag behind the clock, which runs faster than time.
  const folder = mkdtempSync(
    join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), `${process.env.ENID_TEST_RUN ?? 'enid'}-mortal-`),
  );
  t.after(() => rmSync(folder, { recursive: true }));
  const seen = new Set<FaultPoint>();
  const plays = LIVES.flatMap((life) =>
    POINTS.flatMap((point) => timesOf(point, life).map((times) => ({ life, point, times }))),
  );
  const next = plays.entries();
  const worker = async () => {
    for (const [at, { life, point, times }] of next) {
      const own = mkdtempSync(join(folder, `${at}-`));
      if (!(await killedAt(`${point}:${times}`, own, life))) continue;
      seen.add(point);
      await recover(own, life).catch((cause: Error) => {
        throw new Error(`killed at ${point} (${times}), with ${life.name}: ${cause.message}`, { cause });
      });
    }
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), 4) }, worker));
  assert.deepEqual(
    POINTS.filter((point) => !seen.has(point)),
    [],
    'no life came to these points',
  );
});
