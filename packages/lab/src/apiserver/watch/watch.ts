import type { StoredObject } from '../object.ts';
import type { Event } from '../storage/event.ts';
import type { History } from '../storage/history.ts';

export type Change = { readonly type: Event['type']; readonly object: StoredObject };

/**
 * What a client that watches has still to hear: what is there when it begins, then each change. It holds no changes, but
 * its place in the history.
 */
export class Watch {
  readonly #history: History;
  readonly #matches: (object: StoredObject) => boolean;
  readonly #initial: Iterator<StoredObject>;
  #begun = false;
  #position: number;

  /**
   * @param initial what is there at the position, to be told first.
   * @param position where in the history it begins.
   * @param matches which objects the client wants to hear of.
   */
  constructor(
    history: History,
    initial: Iterable<StoredObject>,
    position: number,
    matches: (object: StoredObject) => boolean,
  ) {
    this.#history = history;
    this.#initial = initial[Symbol.iterator]();
    this.#position = position;
    this.#matches = matches;
  }

  /** Whether all that was there at the beginning has been told. */
  get begun(): boolean {
    return this.#begun;
  }

  /** Whether changes that it had still to tell have been forgotten. */
  get lost(): boolean {
    return this.#position < this.#history.end && this.#history.at(this.#position) === undefined;
  }

  /** The revision up to which everything has been told. @param latest the store's. */
  toldUpTo(latest: number): number {
    const next = this.#position < this.#history.end ? this.#history.at(this.#position) : undefined;
    return next ? next.revision - 1 : latest;
  }

  /** The next change, undefined when there is none now. Not to be asked when {@link lost}. */
  next(): Change | undefined {
    while (!this.#begun) {
      const { done, value } = this.#initial.next();
      if (done) {
        this.#begun = true;
        return undefined;
      }
      if (this.#matches(value)) return { type: 'ADDED', object: value };
    }
    while (this.#position < this.#history.end) {
      const change = this.#seen(this.#history.at(this.#position)!);
      this.#position += 1;
      if (change) return change;
    }
    return undefined;
  }

  /** A change as one sees it who sees only what matches: what comes to match is added, what ceases to is deleted. */
  #seen(event: Event): Change | undefined {
    const { object, previous } = event;
    const before = previous !== undefined && this.#matches(previous);
    if (event.type !== 'DELETED' && this.#matches(object)) {
      return { type: before ? 'MODIFIED' : 'ADDED', object };
    }
    if (!before) return undefined;
    if (event.type === 'DELETED') return { type: 'DELETED', object };
    const { resourceVersion } = object.metadata;
    return { type: 'DELETED', object: { ...previous, metadata: { ...previous.metadata, resourceVersion } } };
  }
}
