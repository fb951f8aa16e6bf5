import type { RefusalCause } from '@enid/ipam';
import { AwsError } from '../aws/errors.ts';

/** First pause after a failure, and the longest. */
const FIRST = 5_000;
const LONGEST = 60_000;
/** Pause after a subnet had nothing left: Amazon's. */
const SUBNET_FULL = 120_000;

/** A failure, and when it may be tried again. */
export type Failure = {
  readonly reason: string;
  readonly cause?: RefusalCause | undefined;
  readonly retryAt: number;
};

/** Counts failures in a row and spreads the attempts of many nodes. */
export class Backoff {
  readonly #random: () => number;
  #failures = 0;
  #last: Failure | undefined;

  /** @param random from 0 up to 1. */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** The last failure while it is too early to try again. */
  pending(now: number): Failure | undefined {
    return this.#last && now < this.#last.retryAt ? this.#last : undefined;
  }

  succeed(): void {
    this.#failures = 0;
    this.#last = undefined;
  }

  /** Puts the next attempt off; where a subnet had nothing left, asking again soon is of no use. */
  fail(error: Error, now: number): Failure {
    const known = error instanceof AwsError ? error : undefined;
    const pause = known?.isSubnetFull ? SUBNET_FULL : Math.min(FIRST * 2 ** this.#failures, LONGEST);
    this.#failures++;
    this.#last = {
      reason: error.message,
      cause: known?.refusalCause,
      retryAt: now + Math.round(pause * (0.75 + this.#random() / 2)),
    };
    return this.#last;
  }
}
