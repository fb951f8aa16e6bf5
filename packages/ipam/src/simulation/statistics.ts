/** How long a whole number, such as one of idle addresses, had each value. */
export class TimeWeighted {
  readonly #milliseconds: number[] = [];

  add(value: number, milliseconds: number): void {
    this.#milliseconds[value] = (this.#milliseconds[value] ?? 0) + milliseconds;
  }

  get #total(): number {
    return this.#milliseconds.reduce((sum, milliseconds) => sum + milliseconds, 0);
  }

  mean(): number {
    const weighted = this.#milliseconds.reduce((sum, milliseconds, value) => sum + milliseconds * value, 0);
    return weighted / (this.#total || 1);
  }

  /** The value that was not exceeded for this part of the time. @param part from 0 to 1. */
  quantile(part: number): number {
    let left = this.#total * part;
    for (const [value, milliseconds = 0] of this.#milliseconds.entries()) {
      left -= milliseconds;
      if (left <= 0) return value;
    }
    return Math.max(this.#milliseconds.length - 1, 0);
  }
}

/** The value that this part of them does not exceed (nearest rank); 0 of none. @param sorted lowest first. */
export function quantileOf(sorted: readonly number[], part: number): number {
  return sorted[Math.max(Math.ceil(sorted.length * part) - 1, 0)] ?? 0;
}
