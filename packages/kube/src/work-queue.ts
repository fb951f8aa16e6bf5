import { type BackoffOptions, backoffDelay } from './backoff.ts';
import { type Clock, systemClock } from './clock.ts';

export type WorkQueueOptions = {
  /** Does what the key needs, from the state as it is now. When it throws, it is called again later. */
  readonly process: (key: string) => Promise<void>;
  /** How many keys at a time. */
  readonly concurrency?: number;
  /** How long to wait after a failure. */
  readonly backoff?: BackoffOptions;
  readonly onError?: (key: string, error: Error) => void;
  readonly clock?: Clock;
};

const BACKOFF = { base: 50, max: 30_000 };

/**
 * Keys to work on. A key that is added many times before its turn is worked on once; one that is added while it is worked
 * on has another turn afterwards, so that nothing is missed and no key is in two hands.
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #clock: Clock;
  readonly #ready = new Set<string>();
  readonly #active = new Map<string, Promise<void>>();
  readonly #again = new Set<string>();
  readonly #failures = new Map<string, number>();
  readonly #timers = new Map<string, { readonly at: number; readonly cancel: () => void }>();
  #closed = false;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** How many keys wait for their turn, not counting those that wait for a time. */
  get size(): number {
    return this.#ready.size + this.#again.size;
  }

  add(key: string): void {
    if (this.#closed) return;
    if (this.#active.has(key)) this.#again.add(key);
    else this.#ready.add(key);
    // Not in the caller's hand: handlers of informers add keys, and are not to wait for work.
    queueMicrotask(() => this.#fill());
  }

  /** Adds the key in `ms` milliseconds; an earlier time that was asked for holds. */
  addAfter(key: string, ms: number): void {
    if (this.#closed) return;
    if (ms <= 0) {
      this.add(key);
      return;
    }
    const at = this.#clock.now() + ms;
    const timer = this.#timers.get(key);
    if (timer && timer.at <= at) return;
    timer?.cancel();
    const cancel = this.#clock.after(ms, () => {
      this.#timers.delete(key);
      this.add(key);
    });
    this.#timers.set(key, { at, cancel });
  }

  /** Takes no more, and waits for what is being worked on. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#ready.clear();
    this.#again.clear();
    for (const { cancel } of this.#timers.values()) cancel();
    this.#timers.clear();
    await Promise.all(this.#active.values());
  }

  #fill(): void {
    const { concurrency = 1 } = this.#options;
    for (const key of this.#ready) {
      if (this.#active.size >= concurrency) return;
      this.#ready.delete(key);
      this.#active.set(
        key,
        Promise.resolve(key).then((next) => this.#work(next)),
      );
    }
  }

  async #work(key: string): Promise<void> {
    try {
      await this.#options.process(key);
      this.#failures.delete(key);
    } catch (error) {
      this.#fail(key, error as Error);
    }
    this.#active.delete(key);
    if (this.#again.delete(key)) this.#ready.add(key);
    this.#fill();
  }

  #fail(key: string, error: Error): void {
    if (this.#closed) return;
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    this.#options.onError?.(key, error);
    this.addAfter(key, backoffDelay(failures, this.#options.backoff ?? BACKOFF));
  }
}
