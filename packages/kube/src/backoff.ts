export type BackoffOptions = {
  /** The first delay, in milliseconds. */
  readonly base: number;
  /** The longest delay, in milliseconds. */
  readonly max: number;
  /** Numbers from 0 up to 1, for the jitter. */
  readonly random?: () => number;
};

/**
 * How long to wait before trying again: twice as long after each failure, and up to half as long again by chance, so that
 * those who failed together do not return together.
 */
export function backoffDelay(failures: number, { base, max, random = Math.random }: BackoffOptions): number {
  return Math.min(base * 2 ** Math.min(failures, 30) * (1 + random() / 2), max);
}
