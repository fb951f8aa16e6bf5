import type { InstanceMetadata } from './aws/metadata.ts';
import type { Clock } from './clock.ts';
import type { Logger } from './log.ts';
import type { AddressPool, NodeEni, NodeNetwork } from './seams.ts';

const INTERVAL = 60_000;

export type NetworkUpkeepOptions = {
  readonly network: NodeNetwork;
  readonly pool: Pick<AddressPool, 'assignments'>;
  readonly metadata: InstanceMetadata;
  readonly primaryEni: NodeEni;
  readonly clock: Clock;
  readonly log: Logger;
};

/**
 * Makes the kernel match what pods were given, at the start and every minute: somebody may have flushed the rules,
 * and a block may have been added to the VPC.
 */
export class NetworkUpkeep implements AsyncDisposable {
  readonly #options: NetworkUpkeepOptions;
  readonly #stop = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(options: NetworkUpkeepOptions) {
    this.#options = options;
  }

  /** Resolves after the first time. What fails is logged and tried again a minute later. */
  async start(): Promise<void> {
    await this.#once(false);
    this.#loop = this.#run();
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    for (;;) {
      await clock.sleep(INTERVAL, signal).catch(() => {});
      if (signal.aborted) return;
      await this.#once(true);
    }
  }

  async #once(setup: boolean): Promise<void> {
    const { network, pool, metadata, primaryEni, log } = this.#options;
    try {
      if (setup) await network.setup({ primaryEni, vpcCidrs: await metadata.vpcCidrs(primaryEni.mac) });
      await network.reconcile(pool.assignments());
    } catch (error) {
      log.error({ err: error }, 'the node network could not be brought in order');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the agent stops'));
    await this.#loop;
  }
}
