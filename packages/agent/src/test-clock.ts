import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from './clock.ts';

type Timer = { readonly at: number; readonly fire: () => void };

/** For tests: time that passes only when it is told to, and then at once. */
export class TestClock implements Clock {
  #now = Date.parse('2026-01-01T12:00:00Z');
  #timers: Timer[] = [];

  now(): number {
    return this.#now;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const timer = { at: this.#now + Math.max(milliseconds, 0), fire: resolve };
      this.#timers.push(timer);
      signal?.addEventListener('abort', () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
        reject(signal.reason);
      });
    });
  }

  /** Lets time pass; whatever is due on the way happens at its time, with everything that follows from it. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      await this.settle();
      const next = this.#timers.reduce<Timer | undefined>((a, b) => (a && a.at <= b.at ? a : b), undefined);
      if (!next || next.at > end) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = next.at;
      next.fire();
    }
    this.#now = end;
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    for (let turns = 0; turns < 3; turns++) await turn();
  }
}
