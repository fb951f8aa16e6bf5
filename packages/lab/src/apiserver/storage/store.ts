import type { KubeObject, StoredObject } from '../object.ts';
import type { Event } from './event.ts';
import { HISTORY_LIMITS, History, type HistoryLimits } from './history.ts';
import { type Entry, Journal } from './journal.ts';

export type StoreOptions = { readonly history?: HistoryLimits; readonly compactAt?: number };

/**
 * All objects, by resource (`deployments.apps`) and key (`namespace/name`), each change numbered by one counter, as etcd
 * numbers them. It is one process's: what it does between two awaits is one transaction.
 */
export class Store {
  readonly #objects = new Map<string, Map<string, StoredObject>>();
  readonly #histories = new Map<string, History>();
  readonly #limits: HistoryLimits;
  readonly #journal: Journal;
  /** The revision before which no history is known. */
  readonly #floor: number;
  #revision = 0;

  /**
   * Opens the store of a directory.
   * @throws when its files are damaged.
   */
  constructor(directory: string, options: StoreOptions = {}) {
    this.#limits = options.history ?? HISTORY_LIMITS;
    const changes: { entry: Entry; size: number }[] = [];
    const { journal, base } = Journal.open(directory, options, (entry, size, inSnapshot) => {
      if (inSnapshot) this.#of(entry.resource).set(entry.key, entry.object!);
      else changes.push({ entry, size });
    });
    this.#journal = journal;
    this.#floor = base;
    this.#revision = base;
    for (const { entry, size } of changes) this.#apply(entry, size);
  }

  /** The number of the latest change. */
  get revision(): number {
    return this.#revision;
  }

  get(resource: string, key: string): StoredObject | undefined {
    return this.#objects.get(resource)?.get(key);
  }

  /** The objects of a resource, in no order. */
  all(resource: string): Iterable<StoredObject> {
    return this.#of(resource).values();
  }

  /**
   * The objects of a resource by key, as they were at a revision.
   * @returns undefined when that has been forgotten.
   */
  at(resource: string, revision: number): ReadonlyMap<string, StoredObject> | undefined {
    if (revision >= this.#revision) return this.#of(resource);
    const history = this.history(resource);
    if (history.after(revision) === undefined) return undefined;
    const objects = new Map(this.#of(resource));
    for (const { key, previous } of history.backTo(revision)) {
      if (previous) objects.set(key, previous);
      else objects.delete(key);
    }
    return objects;
  }

  history(resource: string): History {
    const known = this.#histories.get(resource);
    if (known) return known;
    const history = new History(this.#floor, this.#limits);
    this.#histories.set(resource, history);
    return history;
  }

  /** Stores an object under a key, new or instead of the one there. @returns it with its new version. */
  put(resource: string, key: string, object: KubeObject): StoredObject {
    const revision = this.#revision + 1;
    const stored = {
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(revision) },
    } as StoredObject;
    this.#commit({ revision, resource, key, object: stored });
    return stored;
  }

  /** Takes an object away. @returns its last state, with the version of the deletion. */
  delete(resource: string, key: string): StoredObject {
    this.#commit({ revision: this.#revision + 1, resource, key, object: null });
    return this.history(resource).at(this.history(resource).end - 1)!.object;
  }

  async close(): Promise<void> {
    await this.#journal.close();
  }

  #commit(entry: Entry): void {
    const size = this.#journal.append(entry);
    this.#apply(entry, size);
    if (this.#journal.isLong) this.#journal.compact(this.#revision, this.#snapshot());
  }

  #of(resource: string): Map<string, StoredObject> {
    const known = this.#objects.get(resource);
    if (known) return known;
    const objects = new Map<string, StoredObject>();
    this.#objects.set(resource, objects);
    return objects;
  }

  #snapshot(): Entry[] {
    return [...this.#objects].flatMap(([resource, objects]) =>
      [...objects].map(([key, object]) => ({ revision: this.#revision, resource, key, object })),
    );
  }

  #apply({ revision, resource, key, object }: Entry, size: number): void {
    const objects = this.#of(resource);
    const previous = objects.get(key);
    this.#revision = revision;
    if (object) objects.set(key, object);
    else objects.delete(key);
    const last = object ?? {
      ...previous!,
      metadata: { ...previous!.metadata, resourceVersion: String(revision) },
    };
    const type = !object ? 'DELETED' : previous ? 'MODIFIED' : 'ADDED';
    const event: Event = { revision, type, key, object: last, size };
    this.history(resource).append(previous ? { ...event, previous } : event);
  }
}
