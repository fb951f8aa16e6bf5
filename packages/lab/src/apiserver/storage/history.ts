import type { Event } from './event.ts';

export type HistoryLimits = { readonly events: number; readonly bytes: number };

export const HISTORY_LIMITS: HistoryLimits = { events: 2048, bytes: 32 * 1024 * 1024 };

/**
 * The latest changes of one resource. Watches read from it at their own pace by a position, so a watch that nobody reads
 * costs nothing but its position, and ends when its position has been forgotten.
 */
export class History {
  readonly #limits: HistoryLimits;
  readonly #listeners = new Set<() => void>();
  /** undefined: forgotten. */
  #events: (Event | undefined)[] = [];
  /** Index in #events of the oldest one that is kept. */
  #start = 0;
  /** Position of #events[0]. */
  #base = 0;
  #bytes = 0;
  #compacted: number;

  /** @param compacted the revision up to which nothing is known. */
  constructor(compacted: number, limits: HistoryLimits = HISTORY_LIMITS) {
    this.#compacted = compacted;
    this.#limits = limits;
  }

  /** The revision up to which changes have been forgotten. */
  get compacted(): number {
    return this.#compacted;
  }

  /** The position after the latest change. */
  get end(): number {
    return this.#base + this.#events.length;
  }

  append(event: Event): void {
    this.#events.push(event);
    this.#bytes += event.size;
    while (
      this.#events.length - this.#start > this.#limits.events ||
      (this.#bytes > this.#limits.bytes && this.#start < this.#events.length - 1)
    ) {
      const forgotten = this.#events[this.#start]!;
      this.#compacted = forgotten.revision;
      this.#bytes -= forgotten.size;
      this.#events[this.#start] = undefined;
      this.#start += 1;
    }
    if (this.#start > this.#limits.events) {
      this.#events = this.#events.slice(this.#start);
      this.#base += this.#start;
      this.#start = 0;
    }
    for (const listener of [...this.#listeners]) listener();
  }

  /** Where the changes after a revision begin. @returns undefined when some of them have been forgotten. */
  after(revision: number): number | undefined {
    if (revision < this.#compacted) return undefined;
    let low = this.#start;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#events[middle]!.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return this.#base + low;
  }

  /** The change at a position before {@link end}. @returns undefined when it has been forgotten. */
  at(position: number): Event | undefined {
    return position < this.#base + this.#start ? undefined : this.#events[position - this.#base];
  }

  /** The changes after a revision, latest first. The caller has asked {@link after} whether all are known. */
  *backTo(revision: number): Generator<Event> {
    for (let i = this.#events.length - 1; i >= this.#start; i -= 1) {
      const event = this.#events[i]!;
      if (event.revision <= revision) return;
      yield event;
    }
  }

  /** Calls back after each change. @returns what ends that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
