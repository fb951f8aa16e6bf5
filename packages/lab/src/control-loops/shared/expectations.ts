import type { Clock } from '@enid/kube';

/** What was not seen for so long was missed: better to look again than to wait for ever. In milliseconds. */
export const EXPECTATION_LIFETIME = 5 * 60_000;

type Expected = { creations: number; readonly deletions: Set<string>; readonly since: number };

/**
 * What an owner's loop has done to pods and not yet seen in its informer. Until all of it has been seen the informer is
 * behind, and a decision by it would make or delete pods twice.
 */
export class Expectations {
  readonly #clock: Clock;
  readonly #expected = new Map<string, Expected>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  expectCreations(owner: string, count: number): void {
    this.#of(owner).creations += count;
  }

  expectDeletions(owner: string, uids: readonly string[]): void {
    for (const uid of uids) this.#of(owner).deletions.add(uid);
  }

  /** A creation was seen, or failed. */
  created(owner: string): void {
    const expected = this.#expected.get(owner);
    if (expected) expected.creations--;
  }

  /** A deletion was seen to begin or to be done, or failed. */
  deleted(owner: string, uid: string): void {
    this.#expected.get(owner)?.deletions.delete(uid);
  }

  /** Whether the informer has shown all that was done. */
  satisfied(owner: string): boolean {
    const expected = this.#expected.get(owner);
    if (!expected) return true;
    const { creations, deletions, since } = expected;
    const seen = creations <= 0 && deletions.size === 0;
    if (seen || this.#clock.now() - since > EXPECTATION_LIFETIME) {
      this.#expected.delete(owner);
      return true;
    }
    return false;
  }

  forget(owner: string): void {
    this.#expected.delete(owner);
  }

  #of(owner: string): Expected {
    let expected = this.#expected.get(owner);
    if (!expected) {
      expected = { creations: 0, deletions: new Set(), since: this.#clock.now() };
      this.#expected.set(owner, expected);
    }
    return expected;
  }
}
