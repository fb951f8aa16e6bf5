/** What there is of all stacks, and how it becomes what is wanted. */
import { type Clock, systemClock } from '@enid/kube';
import type { AwsClients } from '../aws/clients.ts';
import type { AccountLimits, AccountLoadBalancer } from '../model/account.ts';
import type { Stack, StackId } from '../model/stack.ts';
import { apply } from './apply.ts';
import { BackendGroup } from './backend-group.ts';
import type { BindingStore } from './bindings.ts';
import type { Change } from './changes.ts';
import { type Existing, stackKey } from './existing.ts';
import { type Inventory, readInventory } from './inventory.ts';
import { LAG } from './lag.ts';
import { NotYet } from './not-yet.ts';
import { type PlanContext, plan, usesBackend } from './plan.ts';
import { readExisting } from './read.ts';

export type DeploymentsOptions = Omit<PlanContext, 'mostRules'> & {
  readonly aws: Pick<AwsClients, 'elb' | 'ec2'>;
  readonly bindings: BindingStore;
  readonly vpcId: string;
  readonly clock?: Clock;
  /** What the account lets an application load balancer have; AWS's quotas without it. */
  readonly limits?: () => Promise<Pick<AccountLimits, 'rules'>>;
  /** Once it aborts nothing is changed any more. */
  readonly signal?: AbortSignal | undefined;
  /** Told of each change that was carried out. */
  readonly onChange?: (id: StackId, change: Change) => void;
};

type Known = {
  readonly existing: Existing;
  /** When something was last changed, or failed to be. */
  touchedAt: number;
};

/**
 * AWS is asked what there is once, for all stacks together, and again by and by or when something failed. In between its
 * own changes are kept track of, which is less calls, and not behind as describing is. It counts on being the only one
 * who changes a stack's resources, and finds out by and by when it is not. Of one stack, one thing is done at a time.
 */
export class Deployments {
  readonly #options: DeploymentsOptions;
  readonly #clock: Clock;
  readonly #known = new Map<string, Known>();
  /** From when on an inventory must be to be of use for a stack. */
  readonly #notBefore = new Map<string, number>();
  #inventory: { readonly begun: number; readonly read: Promise<Inventory> } | undefined;
  readonly backend: BackendGroup;

  constructor(options: DeploymentsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.backend = new BackendGroup(options.aws.ec2, options.vpcId, options.clusterName, this.#clock);
  }

  /** @returns what there is of a stack. It must not be changed. */
  async existing(id: StackId): Promise<Existing> {
    return (await this.#get(id)).existing;
  }

  /** What decides how the load balancer of a stack goes on. */
  async loadBalancerOf(id: StackId): Promise<AccountLoadBalancer | undefined> {
    const [found] = (await this.existing(id)).loadBalancers;
    return (
      found && {
        scheme: found.scheme,
        subnetIds: found.subnets.map(({ subnetId }) => subnetId),
        securityGroupIds: found.securityGroups,
      }
    );
  }

  /** @throws {InvalidObject} as {@link plan} does; {AwsError} when it cannot be found out. */
  async plan(stack: Stack): Promise<Change[]> {
    const existing = { ...(await this.existing(stack.id)) };
    existing.bindings = await this.#options.bindings.list(stack.id);
    existing.backendSecurityGroup = this.backend.id;
    return plan(stack, existing, await this.#context(stack));
  }

  async #context({ loadBalancer }: Stack): Promise<PlanContext> {
    const { clusterName, externalTags = [], limits } = this.#options;
    const known = loadBalancer?.type === 'application' && limits ? await limits() : undefined;
    return { clusterName, externalTags, ...(known && { mostRules: known.rules }) };
  }

  /**
   * Makes what is wanted of what there is.
   * @param onEach is told of each change.
   * @param isSettled is told of each that AWS did not do: whether it is known that it did not, and another stack will be wanted.
   * @returns what there is then.
   * @throws {NotYet} when it is to be called again soon; what {@link plan} and {@link apply} throw.
   */
  async deploy(
    stack: Stack,
    onEach: (change: Change) => void = () => {},
    isSettled: (change: Change, error: Error) => boolean = () => false,
  ): Promise<Existing> {
    const { aws, bindings, vpcId, signal, onChange } = this.#options;
    const key = stackKey(stack.id);
    const isHolder = usesBackend(stack);
    if (isHolder) await this.backend.hold(key);
    const known = await this.#get(stack.id);
    const { existing } = known;
    existing.bindings = await bindings.list(stack.id);
    existing.backendSecurityGroup = this.backend.id;
    const changes = plan(stack, existing, await this.#context(stack));
    let isKnown = true;
    try {
      await apply(stack, changes, existing, {
        ...aws,
        bindings,
        vpcId,
        backend: this.backend,
        signal,
        onChange: (change) => {
          known.touchedAt = this.#clock.now();
          onEach(change);
          onChange?.(stack.id, change);
        },
        onFailure: (change, error) => {
          if (!(error instanceof NotYet) && !isSettled(change, error)) isKnown = false;
        },
      });
    } catch (error) {
      known.touchedAt = this.#clock.now();
      // Whether the last call was carried out is not known, or why it could not be.
      if (!isKnown) this.forget(stack.id);
      throw error;
    }
    if (!isHolder) this.backend.release(key);
    return existing;
  }

  /** What there is of a stack is read anew, when it is next needed. */
  forget(id: StackId): void {
    this.#notBefore.set(stackKey(id), this.#clock.now());
    this.#known.delete(stackKey(id));
  }

  /**
   * Forgets all that was not touched lately: describing may be behind.
   * @returns the stacks that the account has something of.
   */
  async lookAgain(): Promise<StackId[]> {
    const now = this.#clock.now();
    for (const [key, { touchedAt }] of this.#known) {
      if (now - touchedAt < LAG) continue;
      this.#notBefore.set(key, now);
      this.#known.delete(key);
    }
    const { stacks } = await this.#read(now);
    return [...stacks.values()].map(({ id }) => id);
  }

  async #get(id: StackId): Promise<Known> {
    const key = stackKey(id);
    const known = this.#known.get(key);
    if (known) return known;
    const { stacks } = await this.#read(this.#notBefore.get(key) ?? 0);
    const existing = await readExisting(this.#options.aws.elb, stacks.get(key));
    const read: Known = { existing, touchedAt: 0 };
    this.#known.set(key, read);
    return read;
  }

  /** @param notBefore when the reading must have begun at the earliest. */
  #read(notBefore: number): Promise<Inventory> {
    if (this.#inventory && this.#inventory.begun >= notBefore) return this.#inventory.read;
    const { aws, vpcId, clusterName } = this.#options;
    const read = readInventory({ ...aws, vpcId, clusterName });
    const inventory = { begun: this.#clock.now(), read };
    this.#inventory = inventory;
    read.then(
      ({ backendSecurityGroup }) => this.backend.found(backendSecurityGroup, inventory.begun),
      () => {
        if (this.#inventory === inventory) this.#inventory = undefined;
      },
    );
    return read;
  }
}
