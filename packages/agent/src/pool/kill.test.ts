/**
 * Promise under test: kill the agent at any instant, or let any step fail, and no address is lost, none is given out
 * twice, and no ENI is left behind. A life of the agent is played again and again, each time it is killed, or fails,
 * one step later; the agent that follows, or the same one, has to put everything right.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ipv4 } from '@enid/ip';
import { countsOf, isFreeSlot, slotKey } from '@enid/ipam';
import { pino } from 'pino';
import { AwsError } from '../aws/errors.ts';
import { readConfig } from '../config.ts';
import type { SandboxKey } from '../seams.ts';
import { TestClock } from '../test-clock.ts';
import { FakeCloud, IDENTITY, type Session } from './fake-cloud.ts';
import { WarmPool } from './warm-pool.ts';

const LOG = pino({ level: process.env.LOG ?? 'silent' });
const COOLDOWN = 30_000;
const keyOf = (pod: number): SandboxKey => ({ network: 'aws-cni', containerId: `c${pod}`, ifName: 'eth0' });

/** A node through the lives of its agents, and what its runtime was told. */
class Node {
  readonly clock = new TestClock();
  readonly cloud = new FakeCloud(this.clock);
  /** What pods hold for certain: ADD was answered, and no DEL was sent since. */
  readonly held = new Map<number, Ipv4>();
  /** Pods whose ADD or DEL was never answered: whether they hold an address is open. */
  readonly open = new Set<number>();
  readonly releasedAt = new Map<Ipv4, number>();
  #pool: WarmPool | undefined;

  async boot(session: Session, env: NodeJS.ProcessEnv): Promise<void> {
    this.#pool = undefined;
    const settings = readConfig(env).pool;
    WarmPool.start({
      ec2: session,
      metadata: session,
      network: session,
      store: session,
      clock: this.clock,
      random: () => 0.5,
      log: LOG,
      identity: IDENTITY,
      settings,
    }).then(
      (pool) => {
        this.#pool = pool;
      },
      () => {},
    );
    await this.clock.advance(5000);
  }

  get pool(): WarmPool | undefined {
    return this.#pool;
  }

  /** Begins an ADD; it is accounted for when it is answered. */
  add(pod: number): void {
    if (!this.#pool) return;
    this.open.add(pod);
    this.#pool.assign(keyOf(pod), { k8sPodName: `pod-${pod}` }).then(
      ({ address }) => {
        assert.ok(![...this.held.values()].includes(address), `${address} was given to two pods`);
        const released = this.releasedAt.get(address) ?? -Infinity;
        assert.ok(this.clock.now() >= released + COOLDOWN, `${address} was given out while it rests`);
        this.held.set(pod, address);
        this.open.delete(pod);
      },
      () => this.open.delete(pod),
    );
  }

  delete(pod: number): void {
    if (!this.#pool) return;
    const address = this.held.get(pod);
    this.held.delete(pod);
    this.open.add(pod);
    this.#pool.release(keyOf(pod)).then(
      () => {
        // Only from its answer on can the runtime rely on it.
        if (address) this.releasedAt.set(address, this.clock.now());
        this.open.delete(pod);
      },
      () => {
        if (address) this.held.set(pod, address);
        this.open.delete(pod);
      },
    );
  }

  /** A life: pods fill the ENIs in part, most go, what is too much is given back, some come again. */
  async live(pods: number[]): Promise<void> {
    for (const pod of pods) if (!this.held.has(pod)) this.add(pod);
    await this.clock.advance(15_000);
    for (const pod of pods.slice(3)) this.delete(pod);
    await this.clock.advance(20_000);
    for (const pod of [20, 21]) this.add(pod);
    await this.clock.advance(120_000);
    this.delete(20);
    this.add(22);
    await this.clock.advance(20_000);
  }

  /** What must hold once the next agent has had time. */
  verify(): void {
    const pool = this.#pool!;
    const assignments = pool.assignments();
    const addresses = assignments.map(({ address }) => address);
    assert.equal(new Set(addresses).size, addresses.length, 'two allocations have one address');
    for (const [pod, address] of this.held) {
      assert.equal(pool.lookup(keyOf(pod))?.address, address, `the allocation of pod ${pod} is lost`);
    }
    const known = new Set([...this.held.keys(), ...this.open].map((pod) => keyOf(pod).containerId));
    for (const { key } of assignments)
      assert.ok(known.has(key.containerId), `${key.containerId} holds for ever`);
    const inUse = new Set(pool.view.pool.enis.map(({ id }) => id));
    for (const eni of this.cloud.enis.values()) {
      assert.ok(eni.attachment, `${eni.id} was left behind unattached`);
      assert.ok(inUse.has(eni.id), `${eni.id} is attached and not used`);
      assert.ok(eni.attachment.deleteOnTermination, `${eni.id} would outlive the instance`);
    }
    const carried = pool.view.pool.enis.flatMap(({ slots }) => slots.map(slotKey));
    const real = [...this.cloud.enis.values()].flatMap((eni) => [...eni.addresses, ...eni.prefixes]);
    assert.deepEqual(carried.sort(), real.sort(), 'the pool does not know what the ENIs carry');
    const { available, total } = countsOf(pool.view.pool, this.clock.now());
    const { mode, enis } = pool.view.pool;
    const warm = mode === 'prefix' ? 16 : 5;
    assert.ok(available >= warm || total === 15, 'the pool is short');
    const free = enis
      .flatMap(({ slots }) => slots)
      .filter((slot) => isFreeSlot(pool.view.pool, slot, this.clock.now()));
    const most = mode === 'prefix' ? 1 : 9;
    assert.ok(free.length <= most, 'the pool keeps what nothing needs');
  }
}

/** A way to live, and the EC2 calls that must have come up in it. */
type Life = {
  readonly env: NodeJS.ProcessEnv;
  readonly pods: number[];
  readonly calls: readonly string[];
  /** How the node was set, and the pods that it had, in a life before. */
  readonly before?: { readonly env: NodeJS.ProcessEnv; readonly pods: number[] };
};

/**
 * Plays a life in which the agent is killed at the given step, or the step fails.
 * @returns the step's name, or undefined when the life was shorter.
 */
async function play(
  { env, pods, before: past }: Life,
  how: 'kill' | 'fail',
  at: number,
): Promise<string | undefined> {
  const node = new Node();
  await node.clock.advance(5000);
  if (past) {
    await node.boot(node.cloud.session(), past.env);
    for (const pod of past.pods) node.add(pod);
    await node.clock.advance(20_000);
    await node.pool!.stop();
  }
  let steps = 0;
  let last: string | undefined;
  const session = node.cloud.session((step) => {
    if (++steps !== at) return;
    last = step;
    if (how === 'fail') throw new AwsError('InternalError', step, `${step} failed`);
    session.kill();
  });
  await node.boot(session, env);
  await node.live(pods);
  if (last === undefined) return undefined;

  if (how === 'kill' || !node.pool) {
    const before = new Map(node.held);
    await node.boot(node.cloud.session(), env);
    for (const [pod, address] of before) assert.equal(node.pool!.lookup(keyOf(pod))?.address, address);
  }
  for (const pod of [140, 141, 142]) node.add(pod);
  await node.clock.advance(300_000);
  node.verify();
  // The runtime repeats the DEL of what it was not answered.
  for (const pod of node.open) node.delete(pod);
  await node.clock.advance(300_000);
  assert.equal(node.pool!.assignments().length, node.held.size);
  node.verify();
  return last;
}

const ENI_CALLS = ['Create', 'Attach', 'Modify', 'Detach', 'Delete'].map((verb) => `${verb}NetworkInterface`);
const LIVES: Readonly<Record<string, Life>> = {
  'of single addresses': {
    env: { WARM_ENI_TARGET: '1' },
    pods: [...Array(12).keys()],
    calls: [...ENI_CALLS, 'AssignPrivateIpAddresses'],
  },
  'of prefixes': {
    env: { ENABLE_PREFIX_DELEGATION: 'true' },
    pods: [...Array(70).keys()].map((pod) => 30 + pod),
    calls: [...ENI_CALLS, 'AssignPrivateIpAddresses', 'UnassignPrivateIpAddresses'],
  },
  'that changes from single addresses to prefixes': {
    before: { env: {}, pods: [200, 201, 202, 203, 204, 205, 206] },
    env: { ENABLE_PREFIX_DELEGATION: 'true' },
    pods: [1, 2, 3, 200, 201, 202, 203, 204, 205],
    calls: ['DeleteNetworkInterface', 'AssignPrivateIpAddresses', 'UnassignPrivateIpAddresses'],
  },
  'that changes from prefixes to single addresses': {
    before: {
      env: { ENABLE_PREFIX_DELEGATION: 'true' },
      pods: [...Array(20).keys()].map((pod) => 200 + pod),
    },
    env: {},
    pods: [1, 2, 3, ...[...Array(19).keys()].map((pod) => 200 + pod)],
    calls: ['CreateNetworkInterface', 'AssignPrivateIpAddresses', 'UnassignPrivateIpAddresses'],
  },
};

for (const [name, life] of Object.entries(LIVES)) {
  for (const [how, title] of [
    ['kill', 'an agent that is killed at any step is put right by the next'],
    ['fail', 'an agent puts right whatever step fails, whether it took effect or not'],
  ] as const) {
    test(`${title}, with a pool ${name}`, async () => {
      const seen = new Set<string>();
      for (let at = 1; ; at++) {
        const step = await play(life, how, at).catch((cause: Error) => {
          throw new Error(`${how} at step ${at}: ${cause.message}`, { cause });
        });
        if (step === undefined) break;
        seen.add(step);
      }
      for (const call of life.calls) {
        for (const when of ['before', 'after']) {
          const step = `${when} ${call}`;
          assert.ok(
            [...seen].some((other) => other.startsWith(step)),
            `no life came to ${step}`,
          );
        }
      }
      for (const step of ['write', 'setEnis']) assert.ok(seen.has(`after ${step}`));
    });
  }
}
