/** Numbers that look random and are the same for the same seed. */
export class Random {
  #state: number;

  /** @param stream tells draws apart that must not disturb each other. */
  constructor(seed: number, stream: string) {
    let hash = 0x811c9dc5 ^ Math.imul(seed + 1, 0x9e3779b1);
    for (const letter of stream) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193);
    this.#state = hash >>> 0;
  }

  /** From 0 up to 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  between(least: number, most: number): number {
    return least + this.next() * (most - least);
  }

  /** A whole number from 0 up to `below`. */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }

  /** A time to the next of events that come independently, `mean` apart. */
  exponential(mean: number): number {
    return -Math.log(1 - this.next()) * mean;
  }

  /** How many independent events happen where `mean` are to be expected. */
  poisson(mean: number): number {
    let count = 0;
    for (let left = this.exponential(1); left < mean; left += this.exponential(1)) count++;
    return count;
  }
}
