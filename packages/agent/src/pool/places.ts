/** Where the ENIs of this node are to be: in which subnets, as EC2's tags or an ENIConfig say. */
import type { PoolEni } from '@enid/ipam';
import { AwsError } from '../aws/errors.ts';
import type { MetadataEni } from '../aws/metadata.ts';
import { Backoff, type Failure } from './backoff.ts';
import type { EniConfig } from './eni-config.ts';
import { excludedSubnets, TAG } from './eni-policy.ts';
import type { WarmPoolOptions } from './investigate.ts';

/** How often tags of subnets are looked at. */
const INTERVAL = 3_600_000;
/** How long a subnet that had nothing left is asked after others. */
const EXHAUSTED = 120_000;

type Options = Pick<
  WarmPoolOptions,
  'ec2' | 'eniConfigs' | 'settings' | 'identity' | 'clusterName' | 'clock' | 'random' | 'log'
>;

export class EniPlaces {
  readonly #options: Options;
  /** The subnet of each ENI that was brought up. */
  readonly #subnets = new Map<string, string>();
  /** Until when a subnet counts as one that has nothing left. */
  readonly #exhausted = new Map<string, number>();
  readonly #backoff: Backoff;
  /** Subnets whose addresses pods are not to have; undefined as long as they are not known. */
  #excluded: ReadonlySet<string> | undefined;
  #config: EniConfig | undefined;
  #missing: string | undefined;
  #dueAt = 0;

  constructor(options: Options) {
    this.#options = options;
    this.#backoff = new Backoff(options.random);
  }

  /** What secondary ENIs are made with, under custom networking, as last heard of. */
  get config(): EniConfig | undefined {
    return this.#config;
  }

  /** Why there is no ENIConfig to go by, when the last look found none. */
  get missing(): string | undefined {
    return this.#missing;
  }

  /** Whether {@link learn} is to be called again. */
  get due(): boolean {
    return this.#options.clock.now() >= this.#dueAt;
  }

  /** Something has changed: {@link learn} is due. */
  expire(): void {
    this.#dueAt = 0;
  }

  /**
   * Why it is not known yet which subnets are excluded, until that may be asked again: nothing is fetched for pods before. A
   * node whose EC2 is away goes on with the addresses that it has.
   */
  get unknown(): Failure | undefined {
    return this.#excluded ? undefined : this.#backoff.pending(this.#options.clock.now());
  }

  /** Looks at tags, or for the ENIConfig. What cannot be found out stays as it was known. */
  async learn({ vpcId }: MetadataEni): Promise<void> {
    const { eniConfigs, clock, log } = this.#options;
    this.#dueAt = clock.now() + INTERVAL;
    try {
      if (eniConfigs) this.#config = await eniConfigs.configFor();
      else this.#excluded = await this.#findExcluded(vpcId);
      this.#backoff.succeed();
      this.#missing = undefined;
    } catch (error) {
      log.warn({ err: error }, 'where ENIs are to be could not be found out');
      if (eniConfigs) {
        this.#missing = (error as Error).message;
        return; // It will be told.
      }
      if (error instanceof AwsError && error.isDenied) this.#excluded ??= new Set();
      else this.#dueAt = this.#backoff.fail(error as Error, clock.now()).retryAt;
    }
  }

  async #findExcluded(vpcId: string): Promise<Set<string>> {
    const { ec2, settings, identity } = this.#options;
    if (!ec2 || !settings.provisioning || !settings.subnetDiscovery) return new Set();
    return excludedSubnets(await ec2.subnets(vpcId, identity.availabilityZone));
  }

  /** Whether pods are known not to have addresses of the subnet, by its tag. */
  excludes(subnetId: string): boolean {
    return this.#excluded?.has(subnetId) ?? false;
  }

  /** Takes down where an ENI is. */
  put({ id, subnetId }: MetadataEni): void {
    this.#subnets.set(id, subnetId);
  }

  /** The subnet of an ENI that was brought up. */
  subnetOf(eniId: string): string {
    return this.#subnets.get(eniId)!;
  }

  /** Whether new pods get no addresses of the ENI, since it is not where it should be. */
  drains({ id, primary }: Pick<PoolEni, 'id' | 'primary'>): boolean {
    const subnetId = this.subnetOf(id);
    if (!this.#options.eniConfigs) return this.excludes(subnetId);
    return primary || (this.#config !== undefined && this.#config.subnetId !== subnetId);
  }

  /** Why the primary ENI drains, if it does. */
  whyPrimaryDrains({ subnetId }: MetadataEni): string {
    return this.#options.eniConfigs
      ? 'custom networking keeps it free of pods'
      : `${subnetId} is tagged ${TAG.subnetRole}=0`;
  }

  /** Whether a new ENI may be in another subnet than those that there are. */
  get mayDiffer(): boolean {
    return this.#options.settings.subnetDiscovery && !this.#options.eniConfigs;
  }

  /** The subnet has nothing left. */
  exhaust(subnetId: string): void {
    this.#exhausted.set(subnetId, this.#options.clock.now() + EXHAUSTED);
  }

  /** Whether the ENI's subnet had nothing left a moment ago. */
  isExhausted(eniId: string): boolean {
    return (this.#exhausted.get(this.subnetOf(eniId)) ?? 0) > this.#options.clock.now();
  }
}
