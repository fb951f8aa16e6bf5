/** The pool as it is at this moment: what ENIs carry, which of them the kernel has up, and who waits for a change. */
import type { Ipv4 } from '@enid/ip';
import {
  type Allocation,
  type Bounds,
  countsOf,
  eniOf,
  expire,
  heldIn,
  type Pool,
  putEni,
  type Slot,
} from '@enid/ipam';
import type { TypeLimits } from '../aws/ec2.ts';
import type { MetadataEni } from '../aws/metadata.ts';
import { faultPoint } from '../fault-point.ts';
import type { Assignment, NodeEni } from '../seams.ts';
import type { EniConfig } from './eni-config.ts';
import { nodeEniOf } from './eni-policy.ts';
import { PoolEvents } from './events.ts';
import type { Findings, WarmPoolOptions } from './investigate.ts';
import { EniPlaces } from './places.ts';

/** What EC2 is being asked for: slots of an ENI, or a new ENI with so many. */
export type Asked = { readonly eniId?: string; readonly slots: number };

/** The pool as introspection and metrics show it. */
export type PoolView = {
  readonly pool: Pool;
  readonly enis: ReadonlyMap<string, NodeEni>;
  /** ENIs that are somebody else's, as far as EC2 was asked. */
  readonly foreign: ReadonlySet<string>;
  readonly bounds: Bounds;
  /** Virtual CPUs of the instance, when they are known. */
  readonly vcpus?: number | undefined;
  readonly events: PoolEvents;
  /** What secondary ENIs are made with, under custom networking. */
  readonly eniConfig?: EniConfig | undefined;
  readonly asked?: Asked | undefined;
};

export class NodePool {
  readonly limits: TypeLimits;
  readonly places: EniPlaces;
  readonly events = new PoolEvents();
  /** The agent's ENIs by id, those that leave among them: which do, the pool alone says. */
  readonly enis = new Map<string, NodeEni>();
  pool: Pool;
  primary: MetadataEni;
  /** ENIs that are somebody else's. */
  foreign: ReadonlySet<string>;
  asked: Asked | undefined;
  /** Pods that wait for an address. */
  waiting = 0;
  readonly #options: WarmPoolOptions;
  /** The ENI that each held address was last seen on. */
  readonly #lastEni = new Map<Ipv4, NodeEni>();
  readonly #becameReady = Promise.withResolvers<void>();
  #wasReady = false;
  /** Settled and replaced whenever a pod that waits should look again. */
  #change = Promise.withResolvers<void>();
  /** Ends the pause of who keeps the pool. */
  #wake = Promise.withResolvers<void>();

  constructor(options: WarmPoolOptions, { limits, pool, primary, foreign }: Findings) {
    this.#options = options;
    this.places = new EniPlaces(options);
    this.limits = limits;
    this.pool = pool;
    this.primary = primary;
    this.foreign = foreign;
  }

  get now(): number {
    return this.#options.clock.now();
  }

  get bounds(): Bounds {
    const { settings, maxPods } = this.#options;
    const { enis, ipv4PerEni } = this.limits;
    const most = maxPods?.();
    return {
      enis: Math.max(Math.min(enis, settings.maxEni ?? enis) - this.foreign.size, 1),
      slotsPerEni: ipv4PerEni - 1,
      ...(most !== undefined && { maxPods: most }),
    };
  }

  get view(): PoolView {
    const { pool, enis, foreign, bounds, events, asked, places } = this;
    const { vcpus } = this.limits;
    return { pool, enis, foreign, bounds, vcpus, events, asked, eniConfig: places.config };
  }

  /** ENIs that are being given back. */
  get leaving(): ReadonlySet<string> {
    return new Set(this.pool.enis.filter(({ leaving }) => leaving).map(({ id }) => id));
  }

  /** Resolves when pods can be given addresses for the first time. */
  get whenReady(): Promise<void> {
    return this.#becameReady.promise;
  }

  /**
   * From the moment an address is there to be given, or a pod is found to hold one, as long as ENIs carry addresses. A node
   * that is full stays ready: its pods are well.
   */
  get ready(): boolean {
    return this.#wasReady && countsOf(this.pool, this.now).total > 0;
  }

  /** Resolves when a pod that waits should look again. */
  get change(): Promise<void> {
    return this.#change.promise;
  }

  /** Resolves with the first {@link wake} from now on. */
  woken(): Promise<void> {
    this.#wake = Promise.withResolvers();
    return this.#wake.promise;
  }

  /** Lets who keeps the pool look again. */
  wake(): void {
    this.#wake.resolve();
  }

  /** Lets pods that wait, and who keeps the pool, look again. */
  notify(): void {
    this.#noteReadiness();
    this.#change.resolve();
    this.#change = Promise.withResolvers();
    this.wake();
  }

  /** Forgets rests that are over. */
  expire(): void {
    this.pool = expire(this.pool, this.now);
    this.#noteReadiness();
  }

  #noteReadiness(): void {
    const { free, assigned } = countsOf(this.pool, this.now);
    if (this.#wasReady || free + assigned === 0) return;
    this.#wasReady = true;
    this.#becameReady.resolve();
  }

  /** The allocation with its ENI; an address whose ENI is gone is shown with the one that it was last on. */
  assignmentOf({ key, address, metadata }: Allocation): Assignment {
    const { id } = eniOf(this.pool, address) ?? {};
    const eni = this.enis.get(id ?? '') ?? this.#lastEni.get(address) ?? nodeEniOf(this.primary);
    return { key, address, eni, metadata };
  }

  /** Remembers the ENI of an address that is held from now on. */
  remember({ address, eni }: Assignment): void {
    this.#lastEni.set(address, eni);
  }

  /** The address is held no more. */
  forget(address: Ipv4): void {
    this.#lastEni.delete(address);
  }

  /** Brings an ENI up in the kernel, then offers its addresses. */
  async bringUp(eni: MetadataEni, slots: readonly Slot[]): Promise<void> {
    const { id, deviceNumber } = eni;
    const nodeEni = nodeEniOf(eni);
    this.enis.set(id, nodeEni);
    try {
      await this.setEnis(id);
    } catch (error) {
      this.enis.delete(id);
      throw error;
    }
    faultPoint('eni-up');
    this.places.put(eni);
    const { primary } = nodeEni;
    const fresh = { id, deviceNumber, primary, since: this.now, leaving: false, slots };
    this.pool = putEni(this.pool, { ...fresh, draining: this.places.drains(fresh) });
    faultPoint('eni-offered');
    for (const slot of slots)
      for (const address of heldIn(this.pool, slot)) this.#lastEni.set(address, nodeEni);
    this.notify();
  }

  /**
   * Makes the kernel have up the ENIs that pods may have addresses of.
   * @param next an ENI whose addresses will be offered once this has resolved.
   */
  setEnis(next?: string): Promise<void> {
    const { leaving } = this;
    const used = [...this.enis.values()].filter(({ id }) => id === next || !leaving.has(id));
    return this.#options.network.setEnis(used);
  }

  /** Lets the ENIs drain that are not where they should be. */
  drain(): void {
    const enis = this.pool.enis.map((eni) => ({ ...eni, draining: this.places.drains(eni) }));
    this.pool = { ...this.pool, enis };
  }
}
