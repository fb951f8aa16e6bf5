/**
 * Keeps the agent's calls at the pace that EC2 grants. EC2 counts the calls of a whole account, so that a node that asks
 * on is answered no sooner, and keeps the others from being answered.
 */
import type { Clock } from '../clock.ts';

/** Calls a second, and at once, of a node that was never throttled: no more than a burst of pods needs. */
const FASTEST = 10;
const BURST = 20;
/** However often EC2 throttles, one call in so many seconds is tried: 1 / SLOWEST. */
const SLOWEST = 0.2;
/** What each call that is answered gives back, in calls a second. */
const RECOVERY = 0.2;

/** A bucket of tokens, one for each call, that is filled half as fast from each throttling on. */
export class AdaptiveThrottle {
  readonly #clock: Clock;
  #rate = FASTEST;
  #tokens = BURST;
  #filledAt: number;
  /** How often EC2 throttled. */
  throttles = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#filledAt = clock.now();
  }

  /** Calls a second that are made at most. */
  get rate(): number {
    return this.#rate;
  }

  /** Resolves when a call may be made. Those that wait are let through in the order they came. */
  async acquire(): Promise<void> {
    this.#fill();
    this.#tokens--;
    if (this.#tokens < 0) await this.#clock.sleep((-this.#tokens / this.#rate) * 1000);
  }

  /** EC2 refused a call because there were too many: RequestLimitExceeded. */
  slowDown(): void {
    this.#fill();
    this.throttles++;
    this.#rate = Math.max(this.#rate / 2, SLOWEST);
    this.#tokens = Math.min(this.#tokens, 0);
  }

  /** A call was answered. */
  succeeded(): void {
    if (this.#rate >= FASTEST) return;
    this.#fill();
    this.#rate = Math.min(this.#rate + RECOVERY, FASTEST);
  }

  #fill(): void {
    const now = this.#clock.now();
    const grown = this.#tokens + ((now - this.#filledAt) / 1000) * this.#rate;
    this.#tokens = Math.min(grown, Math.max(BURST * (this.#rate / FASTEST), 1));
    this.#filledAt = now;
  }
}
