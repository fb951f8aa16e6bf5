import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from './clock.ts';

type Timer = { readonly at: number; readonly task: () => void };

/** For tests: time that passes only when it is told to. */
export class ManualClock implements Clock {
  #now = Date.parse('2026-01-01T12:00:00Z');
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#now;
  }

  after(ms: number, task: () => void): () => void {
    const timer = { at: this.#now + ms, task };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** When the next timer is due, in milliseconds from now. */
  get next(): number | undefined {
    const due = [...this.#timers].map((timer) => timer.at - this.#now);
    return due.length ? Math.min(...due) : undefined;
  }

  /** Lets time pass; whatever is due on the way happens at its time, with everything that follows from it. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await this.settle();
      const [timer] = [...this.#timers].sort((a, b) => a.at - b.at);
      if (!timer || timer.at > end) break;
      this.#timers.delete(timer);
      this.#now = timer.at;
      timer.task();
    }
    this.#now = end;
    await this.settle();
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    for (let turns = 0; turns < 3; turns++) await turn();
  }
}
