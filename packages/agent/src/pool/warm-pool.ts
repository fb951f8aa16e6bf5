/**
 * L-IPAM at work: hands the addresses of this node out and takes them back, each allocation durable before it is
 * answered.
 *
 * What to do about the pool is decided by `@enid/ipam`. One loop, in `keeper.ts`, does everything that changes ENIs;
 * handing out and taking back goes on meanwhile, and waits only for the checkpoint.
 */
import type { Ipv4Cidr } from '@enid/ip';
import {
  type Allocation,
  allocationOf,
  assign,
  cordon,
  explainRefusal,
  isPutAside,
  type Pool,
  type Refusal,
  release,
  revert,
  type SlotKey,
  uncordon,
} from '@enid/ipam';
import { atMost } from '../clock.ts';
import { faultPoint } from '../fault-point.ts';
import {
  type AddressPool,
  type Assignment,
  NoAddressError,
  type Readiness,
  type SandboxKey,
  type SandboxMetadata,
} from '../seams.ts';
import { CheckpointWriter, encodeCheckpoint } from './checkpoint.ts';
import { Housekeeping } from './housekeeping.ts';
import { type Findings, investigate, type WarmPoolOptions } from './investigate.ts';
import { PoolKeeper } from './keeper.ts';
import { NodePool, type PoolView } from './node-pool.ts';
import { Provisioner } from './provisioner.ts';
import { Reconciler } from './reconciler.ts';

/**
 * How long a pod waits for an address that is being fetched from EC2. An attachment takes 2 to 6 seconds on AWS;
 * a refusal costs the pod more, since the runtime pauses before it tries again.
 */
const ASSIGN_WAIT = 8_000;
/** How long a stop waits for what is being done with EC2. */
const STOP_WAIT = 5_000;

export class WarmPool implements AddressPool {
  readonly #options: WarmPoolOptions;
  readonly #node: NodePool;
  readonly #reconciler: Reconciler;
  readonly #keeper: PoolKeeper;
  /** Absent without EC2. */
  readonly #provisioner: Provisioner | undefined;
  readonly #checkpoint: CheckpointWriter;
  readonly #stop = new AbortController();
  #loop: Promise<void> = Promise.resolve();
  /** Ends what tells of changed ENIConfigs. */
  #unfollow = () => {};

  private constructor(options: WarmPoolOptions, findings: Findings) {
    const { ec2, store } = options;
    const { signal } = this.#stop;
    this.#options = options;
    const node = new NodePool(options, findings);
    const provisioner = ec2 && new Provisioner({ ...options, ec2 }, node, signal);
    const housekeeping = provisioner && new Housekeeping(options, provisioner.lifecycle);
    housekeeping?.claim(findings.described);
    const reconciler = new Reconciler(options, node, housekeeping, findings.confirmed);
    const hands = provisioner && housekeeping && { provisioner, housekeeping };
    this.#keeper = new PoolKeeper(options, { node, reconciler, ec2: hands }, signal);
    this.#node = node;
    this.#provisioner = provisioner;
    this.#reconciler = reconciler;
    this.#checkpoint = new CheckpointWriter(store, () => encodeCheckpoint(node.pool));
  }

  /**
   * Recovers every allocation, finds the ENIs and brings them up. Then the loop runs until {@link stop}.
   * @throws {CheckpointError} for a checkpoint that cannot be read.
   * @throws {AwsError} when metadata does not answer, or the limits of the instance type cannot be found.
   */
  static async start(options: WarmPoolOptions): Promise<WarmPool> {
    const findings = await investigate(options);
    const pool = new WarmPool(options, findings);
    const node = pool.#node;
    if (findings.adopted) await pool.#checkpoint.commit();
    // Nothing is fetched before it is known what is not to be given out; ENIConfigs, which say no such thing, may come later.
    const places = options.eniConfigs ? undefined : node.places.learn(findings.primary);
    for (const { eni, slots } of findings.enis) await pool.#reconciler.takeUp(eni, slots, 'start');
    await places;
    node.drain();
    if (options.eniConfigs) pool.#unfollow = options.eniConfigs.onChange(() => pool.#keeper.placesChanged());
    pool.#loop = pool.#keeper.run();
    return pool;
  }

  /** Ends the loop and lets what is being done with EC2 come to an end, for a few seconds. Pods keep everything. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the agent stops'));
    this.#unfollow();
    this.#node.notify();
    await atMost(this.#options.clock, STOP_WAIT, this.#loop);
    await this.#checkpoint.commit();
  }

  /** Resolves when pods can be given addresses for the first time. */
  get whenReady(): Promise<void> {
    return this.#node.whenReady;
  }

  get view(): PoolView {
    return this.#node.view;
  }

  ready(): Readiness {
    return this.#node.ready ? { ok: true } : { ok: false, reason: this.#refusal().sentence };
  }

  async assign(key: SandboxKey, metadata: SandboxMetadata): Promise<Assignment> {
    const node = this.#node;
    node.events.assignRequests++;
    const deadline = node.now + ASSIGN_WAIT;
    for (;;) {
      const given = assign(node.pool, key, metadata, node.now);
      if (given) return await this.#keep(given.pool, given.allocation);
      if (!this.#keeper.growing || node.now >= deadline) {
        node.events.refusals++;
        // Only what others bring can help: it is looked for.
        if (!this.#options.settings.provisioning) this.#reconciler.hasten();
        throw new NoAddressError(this.#refusal());
      }
      node.waiting++;
      try {
        node.wake();
        await atMost(this.#options.clock, deadline - node.now, node.change);
      } finally {
        node.waiting--;
      }
    }
  }

  lookup(key: SandboxKey): Assignment | undefined {
    const allocation = allocationOf(this.#node.pool, key);
    return allocation && this.#node.assignmentOf(allocation);
  }

  async release(key: SandboxKey): Promise<Assignment | undefined> {
    const node = this.#node;
    node.events.releaseRequests++;
    const { pool, allocation } = release(node.pool, key, node.now);
    if (!allocation) return undefined;
    const assignment = node.assignmentOf(allocation);
    node.pool = pool;
    faultPoint('release-decided');
    try {
      await this.#checkpoint.commit();
    } catch (error) {
      if (!allocationOf(node.pool, key)) node.pool = revert(node.pool, allocation.address, allocation);
      throw error;
    }
    faultPoint('release-written');
    node.forget(allocation.address);
    node.notify();
    return assignment;
  }

  assignments(): Assignment[] {
    return [...this.#node.pool.allocations.values()].map((allocation) => this.#node.assignmentOf(allocation));
  }

  /** Gives no address of the block to new pods, nor back to EC2, until {@link uncordon}. On disk when this resolves. */
  cordon(block: Ipv4Cidr): Promise<void> {
    return this.#putAside((pool) => cordon(pool, block));
  }

  /** Undoes {@link cordon} for all within the block. */
  uncordon(block: Ipv4Cidr): Promise<void> {
    return this.#putAside((pool) => uncordon(pool, block));
  }

  /**
   * Gives EC2 back what is cordoned, and has been replaced by others when it was: the pool does not grow by it.
   * @returns the addresses and prefixes that went: those that nobody holds, and that do not rest.
   * @throws {AwsError} when EC2 refuses; then the pool finds them again later.
   */
  async giveBack(keys: readonly SlotKey[]): Promise<SlotKey[]> {
    const { growth } = this.#keeper;
    if (!this.#provisioner || growth.kind === 'disabled') {
      const by = growth.kind === 'disabled' ? growth.by : 'ENABLE_IMDS_ONLY_MODE';
      throw new Error(`${by} leaves it to others what ENIs carry: have EC2 unassign ${keys.join(', ')}`);
    }
    const gone: SlotKey[] = [];
    for (const { id, leaving } of this.#node.pool.enis)
      if (!leaving) gone.push(...(await this.#provisioner.unassign(id, keys, isPutAside)));
    this.#node.notify();
    return gone;
  }

  async #putAside(change: (pool: Pool) => Pool): Promise<void> {
    const node = this.#node;
    const { cordoned } = node.pool;
    node.pool = change(node.pool);
    try {
      await this.#checkpoint.commit();
    } catch (error) {
      node.pool = { ...node.pool, cordoned };
      throw error;
    }
    node.notify();
  }

  /** Makes an allocation durable, or undoes it. */
  async #keep(pool: Pool, allocation: Allocation): Promise<Assignment> {
    const node = this.#node;
    const { address } = allocation;
    const isNew = pool !== node.pool;
    node.pool = pool;
    const assignment = node.assignmentOf(allocation);
    node.remember(assignment);
    node.wake();
    faultPoint('assign-decided');
    try {
      await this.#checkpoint.commit();
    } catch (error) {
      if (isNew && node.pool.allocations.get(address) === allocation) {
        node.pool = revert(node.pool, address, undefined);
        this.#checkpoint.commit().catch(() => {}); // A write in between may have put it down.
      }
      throw error;
    }
    faultPoint('assign-written');
    return assignment;
  }

  /** Why no address can be given now. */
  #refusal(): Refusal {
    const { identity } = this.#options;
    const { pool, bounds, limits, foreign, places, primary, now } = this.#node;
    const context = {
      instanceId: identity.instanceId,
      instanceType: identity.instanceType,
      bounds,
      typeEnis: limits.enis,
      unmanagedEnis: foreign.size,
      prefixesPossible: limits.hypervisor === 'nitro',
      vcpus: limits.vcpus,
      primaryUnused: places.whyPrimaryDrains(primary),
      growth: this.#keeper.growth,
    };
    return explainRefusal(pool, context, now);
  }
}
