import { rcodeOf, smallestTtl } from './wire.ts';

/** How long anything is kept at most, in seconds. */
const LONGEST = 30;
const LARGEST = 10_000;
const NOERROR = 0;
const NXDOMAIN = 3;

type Entry = { readonly message: Buffer; readonly stored: number; readonly expires: number };

/** Answers of other servers, for a short time. The clock is in milliseconds. */
export class AnswerCache {
  readonly #entries = new Map<string, Entry>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** @returns the message and how old it is, in seconds. */
  get(key: string): { message: Buffer; age: number } | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    const now = this.#now();
    if (now < entry.expires) return { message: entry.message, age: Math.floor((now - entry.stored) / 1000) };
    this.#entries.delete(key);
    return undefined;
  }

  set(key: string, message: Buffer): void {
    if (![NOERROR, NXDOMAIN].includes(rcodeOf(message))) return;
    // Without a record nobody says how long it holds.
    const ttl = Math.min(smallestTtl(message) ?? 0, LONGEST);
    if (ttl === 0) return;
    const now = this.#now();
    this.#entries.delete(key);
    this.#entries.set(key, { message, stored: now, expires: now + ttl * 1000 });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > LARGEST) this.#entries.delete(oldest!);
  }
}
