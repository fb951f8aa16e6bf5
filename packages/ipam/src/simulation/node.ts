/** A node in virtual time: its pods, its pool, and the agent's loop that keeps it. */
import type { Ipv4, Ipv4Cidr } from '@enid/ip';
import { type Action, DECREASE_INTERVAL, MINIMUM_ENI_AGE, plan } from '../plan.ts';
import { attachedEni, callsFor, keyOf, type NodeShape, slotOfKey } from '../planner/index.ts';
import {
  addressesPerSlot,
  addSlots,
  assign,
  dropEni,
  expire,
  markLeaving,
  type Pool,
  putEni,
  release,
  type Slot,
  withdraw,
} from '../pool.ts';
import { type Ec2Api, Throttled } from './ec2-api.ts';
import type { Random } from './random.ts';
import type { Subnet } from './subnet.ts';
import type { Process, VirtualTime } from './virtual-time.ts';

/** How often the agent looks at its pool when nothing calls for it earlier. */
const CHECK_INTERVAL = 5_000;
/** What EC2 takes, in milliseconds: from an ENI's creation until it is usable, until it is detached, for a call. */
const ATTACH = [2_000, 6_000] as const;
const DETACH = [2_000, 5_000] as const;
const CALL = 300;
/** The agent's pauses after a failure: the first, the longest, and that after a subnet had nothing left. */
const BACKOFF = { first: 5_000, longest: 60_000, subnetFull: 120_000 };
/** The agent's pauses before it deletes an ENI that is being detached, then before it tries again, and how those grow. */
const DELETE_PAUSE = { detaching: 2_000, again: 1_000, factor: 1.5 };

/** What a node lives in. */
export type World = {
  readonly time: VirtualTime;
  readonly api: Ec2Api;
  readonly random: Random;
  /** Told of each address that a pod gets, with the milliseconds that it waited, and of each that it gives back. */
  readonly onAssign: (pod: number, address: string, waited: number) => void;
  readonly onRelease: (pod: number, address: string) => void;
  /** Told how long a pod waited that never got an address. */
  readonly onGiveUp: (waited: number) => void;
  /** Told for how long a node had so many addresses that no pod had. */
  readonly onIdle: (addresses: number, milliseconds: number) => void;
};

class SubnetFull extends Error {}

export class SimulatedNode {
  readonly number: number;
  readonly #world: World;
  readonly #shape: NodeShape;
  readonly #subnet: Subnet;
  #known: Pool;
  #knownSince = 0;
  /** Pods without an address, first come first. */
  readonly #waiting = new Map<number, number>();
  #enis = 0;
  #busy = false;
  #changed = false;
  /** The agent looks at its pool at this phase of its interval. */
  readonly #phase: number;
  #lookAt = Infinity;
  #lastDecrease: number | undefined;
  readonly #growing = { failures: 0, retryAt: 0 };
  readonly #shrinking = { failures: 0, retryAt: 0 };

  constructor(number: number, world: World, shape: NodeShape, subnet: Subnet, pool: Pool) {
    this.number = number;
    this.#world = world;
    this.#shape = shape;
    this.#subnet = subnet;
    this.#known = pool;
    this.#phase = world.random.between(0, CHECK_INTERVAL);
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  get #now(): number {
    return this.#world.time.now;
  }

  get #pool(): Pool {
    return this.#known;
  }

  /** Between two changes the number of idle addresses is the same: that is when it is counted. */
  set #pool(pool: Pool) {
    if (pool === this.#known) return;
    this.#count();
    this.#known = pool;
  }

  /** Closes the accounts. */
  end(): void {
    this.#count();
    for (const since of this.#waiting.values()) this.#world.onGiveUp(this.#now - since);
  }

  /** Counts the addresses that were idle until now. */
  #count(): void {
    const { enis, allocations } = this.#known;
    const slots = enis.reduce((sum, eni) => sum + eni.slots.length, 0);
    this.#world.onIdle(
      slots * addressesPerSlot(this.#known) - allocations.size,
      this.#now - this.#knownSince,
    );
    this.#knownSince = this.#now;
  }

  add(pod: number): void {
    this.#waiting.set(pod, this.#now);
    this.#serve();
    this.#look();
  }

  remove(pod: number): void {
    const since = this.#waiting.get(pod);
    if (since !== undefined) {
      this.#waiting.delete(pod);
      this.#world.onGiveUp(this.#now - since);
      return;
    }
    const { pool, allocation } = release(this.#pool, keyOf(pod), this.#now);
    this.#pool = pool;
    if (allocation) this.#world.onRelease(pod, allocation.address);
    this.#look();
  }

  #serve(): void {
    for (const [pod, since] of this.#waiting) {
      const given = assign(this.#pool, keyOf(pod), {}, this.#now);
      if (!given) return;
      this.#pool = given.pool;
      this.#waiting.delete(pod);
      this.#world.onAssign(pod, given.allocation.address, this.#now - since);
    }
  }

  #look(): void {
    this.#changed = true;
    if (!this.#busy) this.#world.time.spawn(this.#keep());
  }

  /** Does what is planned, one thing after another, until nothing is; then looks again when something falls due. */
  *#keep(): Process {
    this.#busy = true;
    let acted: 'grew' | 'shrank' | undefined;
    while (this.#changed) {
      this.#changed = false;
      acted = yield* this.#step();
      if (acted === 'grew') this.#changed = true; // More may be needed at once.
    }
    this.#busy = false;
    const due = this.#nextDue(acted !== undefined);
    if (due >= this.#lookAt) return;
    this.#lookAt = due;
    this.#world.time.at(due, () => {
      if (this.#lookAt !== due) return; // An earlier look has taken its place.
      this.#lookAt = Infinity;
      this.#look();
    });
  }

  /** Does what is planned now. @returns what it did. */
  *#step(): Process<'grew' | 'shrank' | undefined> {
    this.#pool = expire(this.#pool, this.#now);
    this.#serve();
    let acted: 'grew' | 'shrank' | undefined;
    for (const action of this.#plan()) {
      const shrinks = action.kind === 'free-eni' || action.kind.startsWith('unassign');
      const attempts = shrinks ? this.#shrinking : this.#growing;
      if (this.#now < attempts.retryAt) continue;
      try {
        yield* this.#carryOut(action);
        attempts.failures = 0;
        acted = shrinks ? 'shrank' : 'grew';
      } catch (error) {
        this.#backOff(attempts, error);
      }
      this.#serve();
    }
    return acted;
  }

  #plan(): Action[] {
    const { settings, bounds } = this.#shape;
    return plan({
      pool: this.#pool,
      targets: settings.targets,
      bounds,
      waiting: this.#waiting.size,
      lastDecrease: this.#lastDecrease,
      now: this.#now,
    });
  }

  #backOff(attempts: { failures: number; retryAt: number }, error: unknown): void {
    const full = error instanceof SubnetFull;
    if (!full && !(error instanceof Throttled)) throw error;
    const pause = full
      ? BACKOFF.subnetFull
      : Math.min(BACKOFF.first * 2 ** attempts.failures, BACKOFF.longest);
    attempts.failures++;
    attempts.retryAt = this.#now + pause * this.#world.random.between(0.75, 1.25);
  }

  *#carryOut(action: Action): Process {
    const { api, random } = this.#world;
    const { mode } = this.#shape.settings;
    switch (action.kind) {
      case 'assign-addresses':
      case 'assign-prefixes': {
        yield* api.call('AssignPrivateIpAddresses');
        const slots = this.#take(() => this.#subnet.takeSlots(mode, action.count));
        yield CALL;
        this.#pool = addSlots(this.#pool, action.eniId, slots);
        return;
      }
      case 'attach-eni':
        return yield* this.#attach(action);
      case 'unassign-addresses':
      case 'unassign-prefixes': {
        const keys: readonly (Ipv4 | Ipv4Cidr)[] =
          action.kind === 'unassign-addresses' ? action.addresses : action.prefixes;
        yield* api.call('UnassignPrivateIpAddresses');
        const { pool, withdrawn } = withdraw(this.#pool, action.eniId, keys, this.#now);
        this.#pool = pool;
        this.#lastDecrease = this.#now;
        yield CALL;
        this.#subnet.returnSlots(withdrawn.map(slotOfKey));
        return;
      }
      case 'free-eni': {
        const eni = this.#pool.enis.find(({ id }) => id === action.eniId)!;
        this.#pool = markLeaving(this.#pool, eni.id, true);
        try {
          yield* api.call('DescribeNetworkInterfaces');
          yield* api.call('DetachNetworkInterface');
        } catch (error) {
          this.#pool = markLeaving(this.#pool, eni.id, false);
          throw error;
        }
        const detachedAt = this.#now + random.between(...DETACH);
        yield DELETE_PAUSE.detaching;
        yield* this.#delete(detachedAt);
        this.#pool = dropEni(this.#pool, eni.id);
        this.#subnet.returnEni(eni.id, eni.slots);
      }
    }
  }

  *#attach(action: Action & { kind: 'attach-eni' }): Process {
    const { api, random } = this.#world;
    const id = `eni-${this.number}.${++this.#enis}`;
    const create = 'CreateNetworkInterface';
    let slots: readonly Slot[] | undefined;
    try {
      for (const call of callsFor(action, this.#shape)) {
        yield* api.call(call);
        if (call === create)
          slots = this.#take(() => this.#subnet.takeEni(id, this.#shape.settings.mode, action.count));
      }
    } catch (error) {
      // What was made and is of no use goes again.
      if (slots) {
        yield* this.#delete(this.#now);
        this.#subnet.returnEni(id, slots);
      }
      throw error;
    }
    yield random.between(...ATTACH);
    this.#pool = putEni(this.#pool, attachedEni(this.#pool, id, slots!, this.#now));
  }

  /** Asks for the deletion of an ENI until it is detached. */
  *#delete(detachedAt: number): Process {
    for (let pause = DELETE_PAUSE.again; ; pause *= DELETE_PAUSE.factor) {
      try {
        yield* this.#world.api.call('DeleteNetworkInterface');
        if (this.#now >= detachedAt) return;
      } catch (error) {
        if (!(error instanceof Throttled)) throw error;
      }
      yield pause;
    }
  }

  /** @throws {SubnetFull} */
  #take<T>(take: () => T | undefined): T {
    const taken = take();
    if (taken !== undefined) return taken;
    this.#subnet.dryAt ??= this.#now;
    throw new SubnetFull(this.#subnet.name);
  }

  /** When, with nothing else happening, the plan may change. @param acted the plan was not looked at since. */
  #nextDue(acted: boolean): number {
    const now = this.#now;
    const { cooldown, released, enis } = this.#pool;
    let due = Infinity;
    const consider = (at: number) => {
      if (at > now && at < due) due = at;
    };
    for (const at of released.values()) consider(at + cooldown);
    // A pod that waits gets what has rested enough at that instant; else the agent's next look is soon enough.
    const rested = this.#waiting.size > 0 ? due : Infinity;
    if (acted) consider(now + 1);
    if (this.#lastDecrease !== undefined) consider(this.#lastDecrease + DECREASE_INTERVAL + 1);
    for (const { since, primary } of enis) if (!primary) consider(since + MINIMUM_ENI_AGE);
    consider(this.#growing.retryAt);
    consider(this.#shrinking.retryAt);
    return Math.min(rested, Math.ceil((due - this.#phase) / CHECK_INTERVAL) * CHECK_INTERVAL + this.#phase);
  }
}
