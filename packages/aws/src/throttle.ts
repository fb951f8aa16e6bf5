/**
 * Keeps calls at the pace that AWS grants. AWS counts the calls of a whole account, so that one who asks on is answered no
 * sooner, and keeps the others from being answered.
 */

export type ThrottleOptions = {
  /** Calls a second of one that was never throttled. */
  readonly fastest: number;
  /** Calls at once. */
  readonly burst: number;
};

/** The time, in milliseconds. */
export type ThrottleClock = { now(): number; sleep(milliseconds: number): Promise<void> };

/** However often AWS throttles, one call in so many seconds is tried: 1 / SLOWEST. */
const SLOWEST = 0.2;
/** What each call that is answered gives back, in calls a second. */
const RECOVERY = 0.2;

/** A bucket of tokens, one for each call, that is filled half as fast from each throttling on. */
export class AdaptiveThrottle {
  readonly #clock: ThrottleClock;
  readonly #fastest: number;
  readonly #burst: number;
  #rate: number;
  #tokens: number;
  #filledAt: number;
  /** How often AWS throttled. */
  throttles = 0;

  constructor(clock: ThrottleClock, { fastest, burst }: ThrottleOptions) {
    this.#clock = clock;
    this.#fastest = fastest;
    this.#burst = burst;
    this.#rate = fastest;
    this.#tokens = burst;
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

  /** AWS refused a call because there were too many: RequestLimitExceeded. */
  slowDown(): void {
    this.#fill();
    this.throttles++;
    this.#rate = Math.max(this.#rate / 2, SLOWEST);
    this.#tokens = Math.min(this.#tokens, 0);
  }

  /** A call was answered. */
  succeeded(): void {
    if (this.#rate >= this.#fastest) return;
    this.#fill();
    this.#rate = Math.min(this.#rate + RECOVERY, this.#fastest);
  }

  #fill(): void {
    const now = this.#clock.now();
    const grown = this.#tokens + ((now - this.#filledAt) / 1000) * this.#rate;
    this.#tokens = Math.min(grown, Math.max(this.#burst * (this.#rate / this.#fastest), 1));
    this.#filledAt = now;
  }
}
