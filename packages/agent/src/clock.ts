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
  // As node:timers/promises does it, without an error and its stack for every sleep that is cut short.
  sleep: (milliseconds, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const wake = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', wake);
        resolve();
      }, milliseconds);
      signal?.addEventListener('abort', wake, { once: true });
    }),
};

/** Waits so long at most, less when `end` comes first. */
export async function atMost(clock: Clock, milliseconds: number, end: Promise<void>): Promise<void> {
  const timer = new AbortController();
  const timeout = clock.sleep(milliseconds, timer.signal).catch(() => {});
  await Promise.race([end, timeout]);
  timer.abort('over');
}
