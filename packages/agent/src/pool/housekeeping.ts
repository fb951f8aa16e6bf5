/** What is done for ENIs besides: tags, attributes, security groups, and ENIs that were left behind. */
import type { Ec2Eni } from '../aws/ec2.ts';
import type { MetadataEni } from '../aws/metadata.ts';
import type { EniLifecycle } from './eni-lifecycle.ts';
import type { WarmPoolOptions } from './investigate.ts';

const LEFTOVER_INTERVAL = 3_600_000;

type Options = Pick<WarmPoolOptions, 'ec2' | 'eniConfigs' | 'settings' | 'clock' | 'random' | 'log'>;

export class Housekeeping {
  readonly #options: Options;
  readonly #lifecycle: EniLifecycle;
  /** ENIs that were found attached and are still to be looked after. */
  readonly #unclaimed = new Map<string, Ec2Eni>();
  #ownLeftoversAt = 0;
  #clusterLeftoversAt: number;

  constructor(options: Options, lifecycle: EniLifecycle) {
    const { clock, random, settings } = options;
    this.#options = options;
    this.#lifecycle = lifecycle;
    // Nodes that start together do not clean up together.
    const cleanUp = settings.leakedEniCleanup ? LEFTOVER_INTERVAL * (0.5 + random()) : Infinity;
    this.#clusterLeftoversAt = clock.now() + cleanUp;
  }

  /** These were found attached: their tags and attributes are to be completed. */
  claim(enis: Iterable<Ec2Eni>): void {
    for (const eni of enis) this.#unclaimed.set(eni.id, eni);
  }

  /** EC2 may have made an ENI without our hearing of it. */
  suspectLeftovers(): void {
    this.#ownLeftoversAt = this.#options.clock.now();
  }

  /** Does what is due. What fails is logged, and left for the next time. */
  async run(primary: MetadataEni): Promise<void> {
    const { log } = this.#options;
    for (const eni of this.#unclaimed.values()) {
      this.#unclaimed.delete(eni.id);
      await this.#lifecycle.claim(eni).catch((error: unknown) => {
        log.warn({ err: error, eni: eni.id }, 'tags and attributes of the ENI could not be set');
      });
    }
    this.#ownLeftoversAt = await this.#cleanUp(this.#ownLeftoversAt, () =>
      this.#lifecycle.deleteOwnLeftovers(primary),
    );
    this.#clusterLeftoversAt = await this.#cleanUp(this.#clusterLeftoversAt, () =>
      this.#lifecycle.deleteClusterLeftovers(primary),
    );
  }

  /** @returns when to do it again. */
  async #cleanUp(at: number, task: () => Promise<void>): Promise<number> {
    const { clock, log } = this.#options;
    if (clock.now() < at) return at;
    try {
      await task();
    } catch (error) {
      log.warn({ err: error }, 'left-over ENIs could not be cleaned up');
    }
    return clock.now() + LEFTOVER_INTERVAL;
  }

  /**
   * Gives secondary ENIs the security groups of the primary one, also when those are changed; not when an ENIConfig says
   * which they have.
   */
  async alignSecurityGroups(primary: MetadataEni, others: readonly MetadataEni[]): Promise<void> {
    const { ec2, settings, eniConfigs, log } = this.#options;
    if (!ec2 || !settings.provisioning || eniConfigs) return;
    const wanted = primary.securityGroups.toSorted();
    for (const { id, securityGroups } of others) {
      if (securityGroups.toSorted().join() === wanted.join()) continue;
      try {
        await ec2.setSecurityGroups(id, wanted);
        log.info({ eni: id, groups: wanted }, 'security groups set as on the primary ENI');
      } catch (error) {
        log.warn({ err: error, eni: id }, 'security groups could not be set');
      }
    }
  }
}
