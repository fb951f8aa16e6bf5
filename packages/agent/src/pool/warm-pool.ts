/**
 * L-IPAM at work: keeps the pool of this node's addresses at its target and hands them out.
 *
 * What to do is decided by `@enid/ipam`; here it is done. One loop does everything that changes ENIs, one thing at
 * a time; handing out and taking back addresses goes on meanwhile, and waits only for the checkpoint.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { Ipv4, Ipv4Cidr } from '@enid/ip';
import {
  type Action,
  type Allocation,
  addressesIn,
  addSlots,
  allocationOf,
  assign,
  type Bounds,
  canGrow,
  cordon,
  countsOf,
  dropEni,
  eniOf,
  expire,
  explainRefusal,
  type Growth,
  markLeaving,
  type ObservedEni,
  type Pool,
  plan,
  prefixSlotOf,
  putEni,
  reconcile,
  release,
  revert,
  type Slot,
  type SlotKey,
  slotKey,
  slotOf,
  slotsOf,
  uncordon,
  withdraw,
} from '@enid/ipam';
import type { Ec2, Ec2Eni, TypeLimits } from '../aws/ec2.ts';
import { AwsError } from '../aws/errors.ts';
import type { MetadataEni } from '../aws/metadata.ts';
import { faultPoint } from '../fault-point.ts';
import {
  type AddressPool,
  type Assignment,
  NoAddressError,
  type NodeEni,
  type Readiness,
  type SandboxKey,
  type SandboxMetadata,
} from '../seams.ts';
import { Backoff } from './backoff.ts';
import { CheckpointWriter, encodeCheckpoint } from './checkpoint.ts';
import type { EniConfig } from './eni-config.ts';
import { EniLifecycle } from './eni-lifecycle.ts';
import { nodeEniOf } from './eni-policy.ts';
import { PoolEvents } from './events.ts';
import { explainShortage } from './fragmentation.ts';
import { Housekeeping } from './housekeeping.ts';
import { divide, type Findings, investigate, type WarmPoolOptions } from './investigate.ts';
import { EniPlaces } from './places.ts';

/** How often the pool is compared with its target when nothing calls for it earlier. */
const CHECK_INTERVAL = 5_000;
/** How long the pool rests before it is compared with metadata. */
const RECONCILE_INTERVAL = 60_000;
/**
 * How long a pod waits for an address that is being fetched from EC2. An attachment takes 2 to 6 seconds on AWS;
 * a refusal costs the pod more, since the runtime pauses before it tries again.
 */
const ASSIGN_WAIT = 8_000;
/** How long a stop waits for what is being done with EC2. */
const STOP_WAIT = 5_000;

/** The pool as introspection and metrics show it. */
export type PoolView = {
  readonly pool: Pool;
  readonly enis: ReadonlyMap<string, NodeEni>;
  readonly bounds: Bounds;
  readonly events: PoolEvents;
  /** What secondary ENIs are made with, under custom networking. */
  readonly eniConfig?: EniConfig | undefined;
  /** What EC2 is being asked for at this moment: slots of an ENI, or a new ENI with so many. */
  readonly asked?: Asked | undefined;
};

export type Asked = { readonly eniId?: string; readonly slots: number };

export class WarmPool implements AddressPool {
  readonly #options: WarmPoolOptions;
  readonly #limits: TypeLimits;
  /** With EC2: what makes and frees ENIs, and what is done for them besides. */
  readonly #lifecycle: EniLifecycle | undefined;
  readonly #housekeeping: Housekeeping | undefined;
  readonly #places: EniPlaces;
  readonly #checkpoint: CheckpointWriter;
  /** Of increases: what stands between a pod and an address. */
  readonly #backoff: Backoff;
  readonly #decreaseBackoff: Backoff;
  readonly #stop = new AbortController();
  readonly #enis = new Map<string, NodeEni>();
  /** ENIs that are being given back. */
  readonly #leaving = new Map<string, NodeEni>();
  /** The ENI that each held address was last seen on. */
  readonly #lastEni = new Map<Ipv4, NodeEni>();
  readonly #events = new PoolEvents();
  readonly #becameReady = Promise.withResolvers<void>();
  #primary: MetadataEni;
  #foreign: ReadonlySet<string>;
  #pool: Pool;
  #ready = false;
  #waiting = 0;
  #asked: Asked | undefined;
  /** Settled and replaced whenever a pod that waits should look again. */
  #change = Promise.withResolvers<void>();
  /** Ends the pause of the loop. */
  #wake = Promise.withResolvers<void>();
  #loop: Promise<void> = Promise.resolve();
  #lastDecrease: number | undefined;
  #reconcileAt: number;
  /** Ends what tells of changed ENIConfigs. */
  #unfollow = () => {};

  private constructor(options: WarmPoolOptions, findings: Findings) {
    const { clock, random, ec2 } = options;
    this.#options = options;
    this.#primary = findings.primary;
    this.#limits = findings.limits;
    this.#foreign = findings.foreign;
    this.#pool = findings.pool;
    const inUse = (eni: Ec2Eni) =>
      slotsOf(eni)
        .flatMap(addressesIn)
        .some((address) => this.#pool.allocations.has(address));
    this.#lifecycle = ec2 && new EniLifecycle({ ...options, ec2, inUse, signal: this.#stop.signal });
    this.#housekeeping = this.#lifecycle && new Housekeeping(options, this.#lifecycle);
    this.#housekeeping?.claim(findings.described);
    this.#places = new EniPlaces(options);
    this.#checkpoint = new CheckpointWriter(options.store, () => encodeCheckpoint(this.#pool));
    this.#backoff = new Backoff(random);
    this.#decreaseBackoff = new Backoff(random);
    this.#reconcileAt = clock.now() + (findings.confirmed ? RECONCILE_INTERVAL : CHECK_INTERVAL);
  }

  /**
   * Recovers every allocation, finds the ENIs and brings them up. Then the loop runs until {@link stop}.
   * @throws {CheckpointError} for a checkpoint that cannot be read.
   * @throws {AwsError} when metadata does not answer, or the limits of the instance type cannot be found.
   */
  static async start(options: WarmPoolOptions): Promise<WarmPool> {
    const findings = await investigate(options);
    const pool = new WarmPool(options, findings);
    if (findings.adopted) await pool.#checkpoint.commit();
    // Nothing is given out before it is known what is not to be; ENIConfigs, which say no such thing, may come later.
    const places = options.eniConfigs ? undefined : pool.#places.learn(findings.primary);
    for (const { eni, slots } of findings.enis) await pool.#takeUp(eni, slots, 'start');
    await places;
    pool.#drain();
    if (options.eniConfigs) pool.#unfollow = options.eniConfigs.onChange(() => pool.#placesChanged());
    pool.#loop = pool.#run();
    return pool;
  }

  /** Ends the loop and lets what is being done with EC2 come to an end, for a few seconds. Pods keep everything. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('the agent stops'));
    this.#unfollow();
    this.#notify();
    await this.#pause(STOP_WAIT, this.#loop);
    await this.#checkpoint.commit();
  }

  /** Resolves when pods can be given addresses for the first time. */
  get whenReady(): Promise<void> {
    return this.#becameReady.promise;
  }

  get view(): PoolView {
    return {
      pool: this.#pool,
      enis: this.#enis,
      bounds: this.#bounds,
      events: this.#events,
      eniConfig: this.#places.config,
      asked: this.#asked,
    };
  }

  /** Gives no address of the block to new pods, nor back to EC2, until {@link uncordon}. On disk when this resolves. */
  cordon(block: Ipv4Cidr): Promise<void> {
    return this.#putAside((pool) => cordon(pool, block));
  }

  /** Undoes {@link cordon} for all within the block. */
  uncordon(block: Ipv4Cidr): Promise<void> {
    return this.#putAside((pool) => uncordon(pool, block));
  }

  async #putAside(change: (pool: Pool) => Pool): Promise<void> {
    const { cordoned } = this.#pool;
    this.#pool = change(this.#pool);
    try {
      await this.#checkpoint.commit();
    } catch (error) {
      this.#pool = { ...this.#pool, cordoned };
      throw error;
    }
    this.#notify();
  }

  /**
   * A node is ready from the moment an address is there to be given, or a pod is found to hold one, as long as its
   * ENIs carry addresses. A node that is full stays ready: its pods are well.
   */
  ready(): Readiness {
    const { total } = countsOf(this.#pool, this.#now);
    return this.#ready && total > 0 ? { ok: true } : { ok: false, reason: this.#refusal() };
  }

  async assign(key: SandboxKey, metadata: SandboxMetadata): Promise<Assignment> {
    this.#events.assignRequests++;
    const deadline = this.#now + ASSIGN_WAIT;
    for (;;) {
      const given = assign(this.#pool, key, metadata, this.#now);
      if (given) return await this.#keep(given.pool, given.allocation);
      if (!this.#growing || this.#now >= deadline) {
        this.#events.refusals++;
        // Only what others bring can help: it is looked for.
        if (!this.#options.settings.provisioning)
          this.#reconcileAt = Math.min(this.#reconcileAt, this.#now + CHECK_INTERVAL);
        throw new NoAddressError(this.#refusal());
      }
      this.#waiting++;
      try {
        this.#wake.resolve();
        await this.#pause(deadline - this.#now, this.#change.promise);
      } finally {
        this.#waiting--;
      }
    }
  }

  lookup(key: SandboxKey): Assignment | undefined {
    const allocation = allocationOf(this.#pool, key);
    return allocation && this.#assignmentOf(allocation);
  }

  async release(key: SandboxKey): Promise<Assignment | undefined> {
    this.#events.releaseRequests++;
    const { pool, allocation } = release(this.#pool, key, this.#now);
    if (!allocation) return undefined;
    const assignment = this.#assignmentOf(allocation);
    this.#pool = pool;
    faultPoint('release-decided');
    try {
      await this.#checkpoint.commit();
    } catch (error) {
      if (!allocationOf(this.#pool, key)) this.#pool = revert(this.#pool, allocation.address, allocation);
      throw error;
    }
    faultPoint('release-written');
    this.#lastEni.delete(allocation.address);
    this.#notify();
    return assignment;
  }

  assignments(): Assignment[] {
    return [...this.#pool.allocations.values()].map((allocation) => this.#assignmentOf(allocation));
  }

  get #now(): number {
    return this.#options.clock.now();
  }

  get #bounds(): Bounds {
    const { enis, ipv4PerEni } = this.#limits;
    const cap = Math.min(enis, this.#options.settings.maxEni ?? enis);
    const maxPods = this.#options.maxPods?.();
    return {
      enis: Math.max(cap - this.#foreign.size, 1),
      slotsPerEni: ipv4PerEni - 1,
      ...(maxPods !== undefined && { maxPods }),
    };
  }

  /** Whether the loop fetches addresses, or will as soon as it runs. */
  get #growing(): boolean {
    const { settings } = this.#options;
    if (!settings.provisioning || this.#stop.signal.aborted || this.#backoff.pending(this.#now)) return false;
    if (this.#obstacle) return false;
    return canGrow({ pool: this.#pool, bounds: this.#bounds, now: this.#now });
  }

  /** Why the pool is neither made larger nor smaller, as things are set. */
  get #obstacle(): string | undefined {
    const { settings, schedulable = () => true } = this.#options;
    if (!settings.manageNonSchedulable && !schedulable())
      return 'the node is cordoned: uncordon it, or set AWS_MANAGE_ENIS_NON_SCHEDULABLE=true';
    if (this.#pool.mode === 'address' || this.#limits.hypervisor === 'nitro') return undefined;
    const { instanceType } = this.#options.identity;
    return `${instanceType} is no Nitro instance, and only those can be delegated prefixes: use a Nitro type, or set ENABLE_PREFIX_DELEGATION=false for this node`;
  }

  get #growth(): Growth {
    const { settings } = this.#options;
    const by = settings.imdsOnly ? 'ENABLE_IMDS_ONLY_MODE' : 'DISABLE_NETWORK_RESOURCE_PROVISIONING';
    if (!settings.provisioning) return { kind: 'disabled', by };
    const obstacle = this.#obstacle;
    if (obstacle) return { kind: 'impossible', reason: obstacle };
    const failure = this.#backoff.pending(this.#now);
    return failure ? { kind: 'failed', ...failure } : { kind: 'possible' };
  }

  #refusal(): string {
    const { identity } = this.#options;
    return explainRefusal(
      this.#pool,
      {
        instanceId: identity.instanceId,
        instanceType: identity.instanceType,
        bounds: this.#bounds,
        typeEnis: this.#limits.enis,
        unmanagedEnis: this.#foreign.size,
        prefixesPossible: this.#limits.hypervisor === 'nitro',
        vcpus: this.#limits.vcpus,
        primaryUnused: this.#places.whyPrimaryDrains(this.#primary),
        growth: this.#growth,
      },
      this.#now,
    );
  }

  /** Makes an allocation durable, or undoes it. */
  async #keep(pool: Pool, allocation: Allocation): Promise<Assignment> {
    const { address } = allocation;
    const isNew = pool !== this.#pool;
    this.#pool = pool;
    const assignment = this.#assignmentOf(allocation);
    this.#lastEni.set(address, assignment.eni);
    this.#wake.resolve();
    faultPoint('assign-decided');
    try {
      await this.#checkpoint.commit();
    } catch (error) {
      if (isNew && this.#pool.allocations.get(address) === allocation) {
        this.#pool = revert(this.#pool, address, undefined);
        this.#checkpoint.commit().catch(() => {}); // A write in between may have put it down.
      }
      throw error;
    }
    faultPoint('assign-written');
    return assignment;
  }

  /** An address whose ENI is gone is shown with the one that it was last on. */
  #assignmentOf({ key, address, metadata }: Allocation): Assignment {
    const { id } = eniOf(this.#pool, address) ?? {};
    const eni = this.#enis.get(id ?? '') ?? this.#lastEni.get(address) ?? nodeEniOf(this.#primary);
    return { key, address, eni, metadata };
  }

  /** Lets pods that wait, and the loop, look again. */
  #notify(): void {
    this.#noteReadiness();
    this.#change.resolve();
    this.#change = Promise.withResolvers();
    this.#wake.resolve();
  }

  #noteReadiness(): void {
    const { free, assigned } = countsOf(this.#pool, this.#now);
    if (this.#ready || free + assigned === 0) return;
    this.#ready = true;
    this.#becameReady.resolve();
  }

  /** Waits so long at most, less when `end` comes first. */
  async #pause(milliseconds: number, end: Promise<void>): Promise<void> {
    const timer = new AbortController();
    const timeout = this.#options.clock.sleep(milliseconds, timer.signal).catch(() => {});
    await Promise.race([end, timeout]);
    timer.abort('over');
  }

  async #run(): Promise<void> {
    const { log } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      // Before the step: what happens during it calls for another.
      this.#wake = Promise.withResolvers();
      const acted = await this.#step().catch((error: unknown) => {
        if (!signal.aborted) log.error({ err: error }, 'the pool could not be kept');
        return false;
      });
      if (!acted && !signal.aborted) await this.#pause(CHECK_INTERVAL, this.#wake.promise);
      await turn(); // What comes together is looked at once, and after the pods that it is about.
    }
  }

  /** @returns whether the pool was made larger: then more may be needed at once. */
  async #step(): Promise<boolean> {
    this.#pool = expire(this.#pool, this.#now);
    this.#noteReadiness();
    let grew = false;
    if (this.#options.settings.provisioning && this.#housekeeping) {
      if (this.#places.due) {
        await this.#places.learn(this.#primary);
        this.#drain();
      }
      for (const id of this.#leaving.keys()) await this.#decrease(() => this.#free(id));
      const actions = this.#obstacle ? [] : this.#plan();
      for (const action of actions) grew = (await this.#carryOut(action)) || grew;
      if (!grew) await this.#housekeeping.run();
    }
    if (!grew && this.#now >= this.#reconcileAt) {
      this.#reconcileAt = this.#now + RECONCILE_INTERVAL;
      await this.#events.track('nodeIPPoolReconcile', () => this.#reconcile(false));
    }
    return grew;
  }

  #plan(): Action[] {
    return plan({
      pool: this.#pool,
      targets: this.#options.settings.targets,
      bounds: this.#bounds,
      waiting: this.#waiting,
      lastDecrease: this.#lastDecrease,
      now: this.#now,
    });
  }

  /** @returns whether the pool was made larger, or can be now. */
  async #carryOut(action: Action): Promise<boolean> {
    switch (action.kind) {
      case 'assign-addresses':
      case 'assign-prefixes':
        return this.#increase(() => this.#fill(action.eniId, action.count));
      case 'attach-eni':
        return this.#increase(() => this.#attach(action.count));
      case 'unassign-addresses':
        return this.#decrease(() => this.#unassign(action.eniId, action.addresses));
      case 'unassign-prefixes':
        return this.#decrease(() => this.#unassign(action.eniId, action.prefixes));
      case 'free-eni':
        // What was planned with it took time: the ENI may be in use by now.
        if (!this.#plan().some((now) => now.kind === 'free-eni' && now.eniId === action.eniId)) return false;
        return this.#decrease(() => this.#free(action.eniId));
    }
  }

  async #increase(grow: () => Promise<void>): Promise<boolean> {
    const { log } = this.#options;
    if (this.#backoff.pending(this.#now)) return false;
    try {
      await this.#events.track('increaseDatastorePool', grow);
      this.#backoff.succeed();
      this.#settled();
      return true;
    } catch (error) {
      if (this.#stop.signal.aborted) return false;
      const full = error instanceof AwsError && error.isSubnetFull;
      const { retryAt } = this.#backoff.fail((error as Error).message, this.#now, full);
      this.#housekeeping?.suspectLeftovers();
      log.warn({ err: error, retryAt: new Date(retryAt) }, 'no more addresses could be had');
      return false;
    } finally {
      this.#notify();
    }
  }

  /** @returns whether it was done. */
  async #decrease(shrink: () => Promise<void>): Promise<boolean> {
    const { log } = this.#options;
    if (this.#decreaseBackoff.pending(this.#now)) return false;
    try {
      await this.#events.track('decreaseDatastorePool', shrink);
      this.#decreaseBackoff.succeed();
      this.#settled();
      return true;
    } catch (error) {
      const { retryAt } = this.#decreaseBackoff.fail((error as Error).message, this.#now);
      log.warn({ err: error, retryAt: new Date(retryAt) }, 'what is too much could not be given back');
      return false;
    }
  }

  /** EC2 was changed: metadata may lag, so it is compared later. */
  #settled(): void {
    this.#reconcileAt = this.#now + RECONCILE_INTERVAL;
  }

  /**
   * Fills an ENI, or another one with room when its subnet has nothing left. ENIs in subnets that had nothing a moment
   * ago are tried last, after a new ENI in another subnet.
   */
  async #fill(first: string, count: number): Promise<void> {
    const { slotsPerEni, enis } = this.#bounds;
    const open = this.#pool.enis.filter(
      (eni) => !eni.leaving && !eni.draining && eni.slots.length < slotsPerEni,
    );
    const ids = [...new Set([first, ...open.map(({ id }) => id)])];
    const last = ids.filter((id) => this.#places.isExhausted(id));
    const failure = await this.#fillOneOf(
      ids.filter((id) => !last.includes(id)),
      count,
    );
    if (failure === 'filled') return;
    if (this.#places.mayDiffer && this.#pool.enis.length < enis) return this.#attach(count);
    const again = failure ?? (await this.#fillOneOf(last, count));
    if (again instanceof AwsError) throw again;
  }

  /** @returns what the first subnet that had nothing left said, when none had. */
  async #fillOneOf(ids: readonly string[], count: number): Promise<AwsError | 'filled' | undefined> {
    const tried = new Map<string, AwsError>();
    for (const id of ids) {
      const subnetId = this.#places.subnetOf(id);
      if (tried.has(subnetId)) continue;
      try {
        await this.#fillOne(id, count);
        return 'filled';
      } catch (error) {
        if (!(error instanceof AwsError && error.isSubnetFull)) throw error;
        this.#places.exhaust(subnetId);
        tried.set(subnetId, await this.#explain(error, subnetId));
      }
    }
    return tried.values().next().value;
  }

  async #fillOne(id: string, count: number): Promise<void> {
    this.#asked = { eniId: id, slots: count };
    faultPoint('slots-asked');
    try {
      const added = await this.#assign(id, count).catch((error: unknown) => {
        // A subnet that is almost empty may have one left.
        if (count > 1 && error instanceof AwsError && error.isSubnetFull) return this.#assign(id, 1);
        throw error;
      });
      faultPoint('slots-assigned');
      this.#pool = addSlots(this.#pool, id, added);
      faultPoint('slots-offered');
      this.#options.log.info({ eni: id, added: added.map(slotKey) }, 'addresses assigned to ENI');
    } catch (error) {
      const knewTooFew = error instanceof AwsError && error.code === 'PrivateIpAddressLimitExceeded';
      if (knewTooFew) await this.#reconcile(true);
      throw error;
    } finally {
      this.#asked = undefined;
    }
  }

  /** Slots of the pool's kind, and of no other: a node of prefixes is planned for prefixes. */
  async #assign(id: string, count: number): Promise<Slot[]> {
    const { ec2 } = this.#options;
    if (this.#pool.mode === 'prefix') return (await ec2!.assignPrefixes(id, count)).map(prefixSlotOf);
    return (await ec2!.assignAddresses(id, count)).map(slotOf);
  }

  #explain(error: AwsError, subnetId: string): Promise<AwsError> {
    const { ec2, identity } = this.#options;
    return explainShortage(error, { ec2: ec2!, identity, primary: this.#primary, subnetId });
  }

  async #attach(count: number): Promise<void> {
    const known = new Set(this.#enis.keys());
    const use = (eni: MetadataEni) => this.#bringUp(eni, slotsOf(eni));
    const config = await this.#options.eniConfigs?.configFor();
    this.#asked = { slots: count };
    try {
      await this.#lifecycle!.attach(known, this.#primary, { kind: this.#pool.mode, count }, use, config);
    } finally {
      this.#asked = undefined;
    }
  }

  async #unassign(id: string, keys: readonly SlotKey[]): Promise<void> {
    const { ec2, log } = this.#options;
    const { pool, withdrawn } = withdraw(this.#pool, id, keys, this.#now);
    this.#pool = pool;
    this.#lastDecrease = this.#now;
    if (withdrawn.length === 0) return;
    faultPoint('slots-withdrawn');
    // When it fails they are still there: the next comparison with EC2 finds them.
    const prefixes = withdrawn.filter((key): key is Ipv4Cidr => key.includes('/'));
    const addresses = withdrawn.filter((key): key is Ipv4 => !key.includes('/'));
    if (prefixes.length > 0) await ec2!.unassignPrefixes(id, prefixes);
    if (addresses.length > 0) await ec2!.unassignAddresses(id, addresses);
    faultPoint('slots-unassigned');
    log.info({ eni: id, removed: withdrawn }, 'addresses unassigned from ENI');
  }

  /** Frees an ENI, or goes on with that where it came to a halt. */
  async #free(id: string): Promise<void> {
    const eni = this.#leaving.get(id) ?? this.#enis.get(id)!;
    this.#leaving.set(id, eni);
    this.#pool = markLeaving(this.#pool, id, true);
    this.#enis.delete(id);
    faultPoint('eni-leaving');
    try {
      await this.#setEnis();
      faultPoint('eni-down');
      await this.#lifecycle!.free(id);
    } catch (error) {
      if (this.#stop.signal.aborted) throw error; // The next start sees what came of it.
      // The answer may be lost and not the detachment: it is used again only when EC2 has it attached.
      const found = await this.#options.ec2!.eni(id);
      if (found?.attachment?.status !== 'attached') throw error;
      this.#leaving.delete(id);
      this.#enis.set(id, eni);
      this.#pool = markLeaving(this.#pool, id, false);
      await this.#setEnis();
      throw error;
    }
    this.#leaving.delete(id);
    this.#pool = dropEni(this.#pool, id);
    this.#options.log.info({ eni: id }, 'ENI freed');
  }

  /** Lets the ENIs drain that are not where they should be. */
  #drain(): void {
    const enis = this.#pool.enis.map((eni) => ({ ...eni, draining: this.#places.drains(eni) }));
    this.#pool = { ...this.#pool, enis };
  }

  #placesChanged(): void {
    this.#places.expire();
    this.#backoff.succeed(); // What failed for want of an ENIConfig need not wait.
    this.#wake.resolve();
  }

  #setEnis(): Promise<void> {
    return this.#options.network.setEnis([...this.#enis.values()]);
  }

  /** Brings an ENI up in the kernel, then offers its addresses. */
  async #bringUp(eni: MetadataEni, slots: readonly Slot[]): Promise<void> {
    const { id, deviceNumber } = eni;
    const nodeEni = nodeEniOf(eni);
    this.#enis.set(id, nodeEni);
    try {
      await this.#setEnis();
    } catch (error) {
      this.#enis.delete(id);
      throw error;
    }
    faultPoint('eni-up');
    this.#places.put(eni);
    const { primary } = nodeEni;
    const fresh = { id, deviceNumber, primary, since: this.#now, leaving: false, slots };
    this.#pool = putEni(this.#pool, { ...fresh, draining: this.#places.drains(fresh) });
    faultPoint('eni-offered');
    for (const address of slots.flatMap(addressesIn)) {
      if (this.#pool.allocations.has(address)) this.#lastEni.set(address, nodeEni);
    }
    this.#notify();
  }

  /** Brings up an ENI that was found. One that fails is left out, and tried again soon. */
  async #takeUp(eni: MetadataEni, slots: readonly Slot[], when: string): Promise<void> {
    const { log } = this.#options;
    try {
      await this.#bringUp(eni, slots);
      const addresses = slots.flatMap(addressesIn).length;
      log.info({ eni: eni.id, device: eni.deviceNumber, addresses, when }, 'ENI taken up');
    } catch (error) {
      this.#events.fail('setupENI');
      this.#reconcileAt = this.#now + CHECK_INTERVAL;
      log.error({ err: error, eni: eni.id }, 'ENI could not be brought up: its addresses are not used yet');
    }
  }

  /** Compares the pool with metadata and, when they differ, makes it agree with EC2. */
  async #reconcile(force: boolean): Promise<void> {
    const { ec2, metadata } = this.#options;
    const shown = (await metadata.enis()).filter(({ networkCard }) => networkCard === 0);
    this.#primary = shown.find(({ deviceNumber }) => deviceNumber === 0) ?? this.#primary;
    const used = shown.filter(({ id }) => this.#enis.has(id));
    await this.#housekeeping?.alignSecurityGroups(this.#primary, used);
    const ours = shown.filter(({ id }) => !this.#foreign.has(id)).map(observed);
    const { appeared, vanished, changed, pool } = reconcile(this.#pool, ours, this.#now);
    if (!force && appeared.length + vanished.length + changed === 0) {
      this.#pool = pool;
      return;
    }
    const attached = ec2 ? (await this.#managedEnis(ec2)).map(observed) : ours;
    await this.#follow(attached, shown);
  }

  async #managedEnis(ec2: Ec2): Promise<Ec2Eni[]> {
    const { managed, foreign } = divide(await ec2.attachedEnis(), this.#options);
    this.#foreign = foreign;
    this.#housekeeping?.claim(managed);
    return managed;
  }

  async #follow(attached: readonly ObservedEni[], shown: readonly MetadataEni[]): Promise<void> {
    const { log } = this.#options;
    const { reconciled } = this.#events;
    const { pool, appeared, vanished, lost, changed } = reconcile(this.#pool, attached, this.#now);
    this.#pool = pool;
    reconciled.eniIPPoolReconcile += changed;
    for (const address of lost) {
      this.#events.lostAddresses++;
      const { key, metadata } = pool.allocations.get(address)!;
      log.error(
        { address, ...key, ...metadata },
        'a pod is cut off: EC2 has taken its address from this node',
      );
    }
    for (const id of vanished) {
      reconciled.eniReconcileDel++;
      this.#events.lostEnis++;
      this.#enis.delete(id);
      log.error({ eni: id }, 'an ENI was detached by somebody else');
    }
    if (vanished.length > 0) await this.#setEnis();
    for (const id of appeared) {
      const eni = shown.find((candidate) => candidate.id === id);
      if (!eni) {
        this.#reconcileAt = this.#now + CHECK_INTERVAL; // Metadata will have it soon.
        continue;
      }
      reconciled.eniReconcileAdd++;
      await this.#takeUp(eni, attached.find((candidate) => candidate.id === id)!.slots, 'reconcile');
    }
    if (changed > 0) this.#notify();
  }
}

const observed = (eni: MetadataEni | Ec2Eni): ObservedEni => ({ id: eni.id, slots: slotsOf(eni) });
