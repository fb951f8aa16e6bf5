import type { Clock } from '@enid/kube';

type Entry = { delay: number; grownAt: number };

/** Delays that double with each failure of a key, up to a longest, and begin anew after a long time without one. */
export class Backoff {
  readonly #clock: Clock;
  readonly #first: number;
  readonly #longest: number;
  readonly #entries = new Map<string, Entry>();

  /** Times in milliseconds, as everywhere. */
  constructor(clock: Clock, first = 10_000, longest = 300_000) {
    this.#clock = clock;
    this.#first = first;
    this.#longest = longest;
  }

  /** How long a key still has to wait after its failure at `failedAt`, and of how much; undefined when it need not. */
  waiting(key: string, failedAt: number): { readonly until: number; readonly delay: number } | undefined {
    const entry = this.#current(key);
    if (!entry) return undefined;
    const until = failedAt + entry.delay;
    return until > this.#clock.now() ? { until, delay: entry.delay } : undefined;
  }

  /** The key is tried again: should it fail, it waits for longer. */
  grow(key: string): void {
    const entry = this.#current(key);
    const delay = entry ? Math.min(entry.delay * 2, this.#longest) : this.#first;
    this.#entries.set(key, { delay, grownAt: this.#clock.now() });
  }

  /** Forgets the keys that begin so. */
  forget(prefix: string): void {
    for (const key of this.#entries.keys()) if (key.startsWith(prefix)) this.#entries.delete(key);
  }

  #current(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    return entry && this.#clock.now() - entry.grownAt <= 2 * this.#longest ? entry : undefined;
  }
}
