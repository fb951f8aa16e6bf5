/** The loop that keeps the pool at its target: one thing at a time, and slower after failures. */
import { setImmediate as turn } from 'node:timers/promises';
import { type Action, canGrow, type Growth, plan, type RefusalCause } from '@enid/ipam';
import { AwsError } from '../aws/errors.ts';
import { atMost } from '../clock.ts';
import { Backoff } from './backoff.ts';
import type { Housekeeping } from './housekeeping.ts';
import type { WarmPoolOptions } from './investigate.ts';
import type { NodePool } from './node-pool.ts';
import type { Provisioner } from './provisioner.ts';
import type { Reconciler } from './reconciler.ts';

/** How often the pool is compared with its target when nothing calls for it earlier. */
const CHECK_INTERVAL = 5_000;

/** What the keeper sets to work. @prop ec2 what is done by EC2; absent without it. */
export type Hands = {
  readonly node: NodePool;
  readonly reconciler: Reconciler;
  readonly ec2?: { readonly provisioner: Provisioner; readonly housekeeping: Housekeeping } | undefined;
};

export class PoolKeeper {
  readonly #options: WarmPoolOptions;
  readonly #hands: Hands;
  readonly #stop: AbortSignal;
  /** Of increases: what stands between a pod and an address. */
  readonly #backoff: Backoff;
  readonly #decreaseBackoff: Backoff;

  constructor(options: WarmPoolOptions, hands: Hands, stop: AbortSignal) {
    this.#options = options;
    this.#hands = hands;
    this.#stop = stop;
    this.#backoff = new Backoff(options.random);
    this.#decreaseBackoff = new Backoff(options.random);
  }

  /** Whether addresses are being fetched, or will be as soon as the loop comes to it. */
  get growing(): boolean {
    const { node } = this.#hands;
    if (this.#stop.aborted || this.growth.kind !== 'possible') return false;
    return canGrow({ pool: node.pool, bounds: node.bounds, now: node.now });
  }

  /** How the pool's growth stands. */
  get growth(): Growth {
    const { settings } = this.#options;
    const by = settings.imdsOnly ? 'ENABLE_IMDS_ONLY_MODE' : 'DISABLE_NETWORK_RESOURCE_PROVISIONING';
    if (!settings.provisioning) return { kind: 'disabled', by };
    const obstacle = this.#cordoned ?? this.#unfit;
    if (obstacle) return { kind: 'impossible', reason: obstacle };
    const { places, now } = this.#hands.node;
    const failure = places.unknown ?? this.#backoff.pending(now);
    return failure ? { kind: 'failed', ...failure } : { kind: 'possible' };
  }

  get #provisions(): boolean {
    return this.#options.settings.provisioning;
  }

  /** Why the pool is neither made larger nor smaller for now: that is as an operator wants it. */
  get #cordoned(): string | undefined {
    const { settings, schedulable = () => true } = this.#options;
    return settings.manageNonSchedulable || schedulable()
      ? undefined
      : 'the node is cordoned: uncordon it, or set AWS_MANAGE_ENIS_NON_SCHEDULABLE=true';
  }

  /** Why the pool is neither made larger nor smaller, as things are set. */
  get #unfit(): string | undefined {
    const { identity } = this.#options;
    const { pool, limits } = this.#hands.node;
    if (pool.mode === 'address' || limits.hypervisor === 'nitro') return undefined;
    return `${identity.instanceType} is no Nitro instance, and only those can be delegated prefixes: use a Nitro type, or set ENABLE_PREFIX_DELEGATION=false for this node`;
  }

  /** Where ENIs are to be has changed: what failed for want of an ENIConfig need not wait. */
  placesChanged(): void {
    const { node } = this.#hands;
    node.places.expire();
    this.#backoff.succeed();
    node.wake();
  }

  /** Keeps the pool until the stop. */
  async run(): Promise<void> {
    const { log, clock } = this.#options;
    const { node } = this.#hands;
    while (!this.#stop.aborted) {
      // Before the step: what happens during it calls for another.
      const woken = node.woken();
      const acted = await this.#step().catch((error: unknown) => {
        if (!this.#stop.aborted) log.error({ err: error }, 'the pool could not be kept');
        return false;
      });
      if (!acted && !this.#stop.aborted) await atMost(clock, CHECK_INTERVAL, woken);
      await turn(); // What comes together is looked at once, and after the pods that it is about.
    }
  }

  /** @returns whether the pool was made larger: then more may be needed at once. */
  async #step(): Promise<boolean> {
    const { node, reconciler, ec2 } = this.#hands;
    node.expire();
    let grew = false;
    if (this.#provisions && ec2) {
      if (node.places.due) {
        await node.places.learn(node.primary);
        node.drain();
        // ENIs of an earlier setting may have room, so that the pool misses nothing: it grows where it should not.
        if (node.places.missing) this.#tell('FailedAssignIP', `misses its ENIConfig: ${node.places.missing}`);
      }
      for (const id of node.leaving) await this.#decrease(() => ec2.provisioner.free(id));
      const actions = this.#cordoned ? [] : this.#plan(ec2.provisioner);
      for (const action of actions) grew = (await this.#carryOut(action, ec2.provisioner)) || grew;
      if (!grew) await ec2.housekeeping.run(node.primary);
    }
    if (!grew && reconciler.due) await node.events.track('nodeIPPoolReconcile', () => reconciler.run());
    return grew;
  }

  #plan({ lastDecrease }: Provisioner): Action[] {
    const { pool, bounds, waiting, now } = this.#hands.node;
    return plan({ pool, targets: this.#options.settings.targets, bounds, waiting, lastDecrease, now });
  }

  /** @returns whether the pool was made larger, or can be now. */
  async #carryOut(action: Action, provisioner: Provisioner): Promise<boolean> {
    switch (action.kind) {
      case 'assign-addresses':
      case 'assign-prefixes':
        return this.#increase(() => provisioner.fill(action.eniId, action.count));
      case 'attach-eni':
        return this.#increase(() => provisioner.attach(action.count));
      case 'unassign-addresses':
        return this.#decrease(() => provisioner.unassign(action.eniId, action.addresses));
      case 'unassign-prefixes':
        return this.#decrease(() => provisioner.unassign(action.eniId, action.prefixes));
      case 'free-eni': {
        // What was planned with it took time: the ENI may be in use by now.
        const again = this.#plan(provisioner);
        if (!again.some((now) => now.kind === 'free-eni' && now.eniId === action.eniId)) return false;
        return this.#decrease(() => provisioner.free(action.eniId));
      }
    }
  }

  async #increase(grow: () => Promise<void>): Promise<boolean> {
    const { log } = this.#options;
    const { node, reconciler, ec2 } = this.#hands;
    if (this.growth.kind !== 'possible') {
      this.#tellOfShortage();
      return false;
    }
    try {
      await node.events.track('increaseDatastorePool', grow);
      this.#backoff.succeed();
      reconciler.postpone();
      return true;
    } catch (error) {
      if (this.#stop.aborted) return false;
      if (error instanceof AwsError && error.code === 'PrivateIpAddressLimitExceeded')
        await this.#findUnknown();
      const { retryAt } = this.#backoff.fail(error as Error, node.now);
      ec2?.housekeeping.suspectLeftovers();
      log.warn({ err: error, retryAt: new Date(retryAt) }, 'no more addresses could be had');
      this.#tellOfShortage();
      return false;
    } finally {
      node.notify();
    }
  }

  #tellOfShortage(): void {
    const { growth } = this;
    if (growth.kind !== 'failed' && growth.kind !== 'impossible') return;
    const cause = (growth.kind === 'failed' && growth.cause) || 'FailedAssignIP';
    this.#tell(cause, `can have no more addresses: ${growth.reason}`);
  }

  #tell(cause: RefusalCause, text: string): void {
    const { identity, onShortage } = this.#options;
    const { instanceId, instanceType } = identity;
    onShortage?.({ cause, sentence: `${instanceId} (${instanceType}) ${text}` });
  }

  /** The ENIs carry more than the pool knows of. */
  async #findUnknown(): Promise<void> {
    const { reconciler } = this.#hands;
    try {
      await reconciler.run(true);
    } catch (error) {
      reconciler.hasten();
      this.#options.log.warn({ err: error }, 'what the ENIs carry could not be found out');
    }
  }

  /** @returns whether it was done. */
  async #decrease(shrink: () => Promise<unknown>): Promise<boolean> {
    const { log } = this.#options;
    const { node, reconciler } = this.#hands;
    if (this.#unfit || this.#decreaseBackoff.pending(node.now)) return false;
    try {
      await node.events.track('decreaseDatastorePool', shrink);
      this.#decreaseBackoff.succeed();
      reconciler.postpone();
      return true;
    } catch (error) {
      const { retryAt } = this.#decreaseBackoff.fail(error as Error, node.now);
      log.warn({ err: error, retryAt: new Date(retryAt) }, 'what is too much could not be given back');
      return false;
    }
  }
}
