/** For tests: a node in the fake cloud, what its runtime was told, and what must hold of it. */
import assert from 'node:assert/strict';
import type { Ipv4 } from '@enid/ip';
import { countsOf, isFreeSlot, slotKey } from '@enid/ipam';
import { pino } from 'pino';
import { readConfig } from '../config.ts';
import type { SandboxKey } from '../seams.ts';
import { TestClock } from '../test-clock.ts';
import { FakeCloud, IDENTITY, type Session } from './fake-cloud.ts';
import { WarmPool } from './warm-pool.ts';

const LOG = pino({ level: process.env.LOG ?? 'silent' });
/** How long a released address rests. */
export const COOLDOWN = 30_000;
/** The attachment of a pod by its number. */
export const keyOf = (pod: number): SandboxKey => ({
  network: 'aws-cni',
  containerId: `c${pod}`,
  ifName: 'eth0',
});

/** A node through the lives of its agents, and what its runtime was told. */
export class TestNode {
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

  /** Begins a DEL. One that fails is repeated, as a runtime does; until then it is open whether the pod holds anything. */
  delete(pod: number, address = this.held.get(pod)): void {
    if (!this.#pool) return;
    this.held.delete(pod);
    this.open.add(pod);
    this.#pool.release(keyOf(pod)).then(
      () => {
        // Only from its answer on can the runtime rely on it.
        if (address) this.releasedAt.set(address, this.clock.now());
        this.open.delete(pod);
      },
      async () => {
        await this.clock.sleep(1_000);
        this.delete(pod, address);
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
