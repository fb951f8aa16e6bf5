import type { Clock } from '../../clock.ts';
import type { Logger } from '../../log.ts';
import { attachmentId } from '../../network/names.ts';
import type { AddressPool, Assignment } from '../../seams.ts';
import type { CniPlugin } from '../plugin.ts';
import { withoutSandbox } from './kernel.ts';

const INTERVAL = 60_000;

export type SandboxUpkeepOptions = {
  readonly pool: Pick<AddressPool, 'assignments'>;
  readonly plugin: Pick<CniPlugin, 'forget' | 'isBusy'>;
  /** The ids of the runtime's sandboxes; undefined when there is no runtime to ask. Rejects when it does not answer. */
  readonly runtime: () => Promise<ReadonlySet<string> | undefined>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of these, the assignments whose sandbox the kernel does not have. */
  readonly kernel?: (assignments: readonly Assignment[]) => Assignment[];
};

/**
 * Releases what pods hold whose sandbox is gone, as when the runtime lost it without a DEL. The kernel is looked at every
 * minute, the runtime asked only about what the kernel lacks; what both lack twice in a row, a minute apart, is gone.
 */
export class SandboxUpkeep implements AsyncDisposable {
  readonly #options: SandboxUpkeepOptions;
  readonly #stop = new AbortController();
  /** When each attachment was first found without a sandbox. */
  #suspects = new Map<string, number>();
  #loop: Promise<void> = Promise.resolve();

  constructor(options: SandboxUpkeepOptions) {
    this.#options = options;
  }

  /** Begins. The first look is now. */
  start(): this {
    this.#loop = this.#run();
    return this;
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#look().catch((error: unknown) => {
        log.warn({ err: error }, 'it could not be found out which sandboxes are gone');
      });
      await clock.sleep(INTERVAL, signal).catch(() => {});
    }
  }

  async #look(): Promise<void> {
    const { pool, plugin, runtime, clock, log, kernel = withoutSandbox } = this.#options;
    const missing = kernel(pool.assignments().filter(({ key }) => !plugin.isBusy(key)));
    const known = missing.length > 0 ? await runtime() : undefined;
    const gone = missing.filter(({ key }) => !known?.has(key.containerId) && !plugin.isBusy(key));
    const before = this.#suspects;
    const now = clock.now();
    const since = ({ key }: Assignment) => before.get(attachmentId(key)) ?? now;
    this.#suspects = new Map(gone.map((each) => [attachmentId(each.key), since(each)]));
    for (const each of gone.filter((suspect) => now - since(suspect) >= INTERVAL)) {
      const { key, address, metadata } = each;
      await plugin.forget(key);
      this.#suspects.delete(attachmentId(key));
      log.warn(
        { address, ...key, ...metadata },
        `${address} is released: its sandbox is gone from the kernel${known ? ' and the runtime' : ''}, and no DEL came`,
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the agent stops'));
    await this.#loop;
  }
}
