import { setTimeout as sleep } from 'node:timers/promises';

/** The time, passed in so that a test can turn it. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /**
   * Waits.
   * @throws the reason of `signal` as soon as it aborts.
   */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: Date.now,
  async sleep(milliseconds, signal) {
    await sleep(milliseconds, undefined, signal && { signal });
  },
};
