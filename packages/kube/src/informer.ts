import { ApiError, isGone, isNotFound } from './api-error.ts';
import { backoffDelay } from './backoff.ts';
import type { KubeClient, List, Query, WatchEvent } from './client.ts';
import { type Clock, sleep, systemClock } from './clock.ts';
import { type IndexFunctions, ObjectIndex } from './object-index.ts';
import { type KubeObject, keyOf } from './wire.ts';

/** Told of each change after the cache has it: what was there before, and what is there now. */
export type ChangeHandler<T> = (old: T | undefined, now: T | undefined) => void;

export type InformerOptions<T, I extends string = never> = {
  readonly client: KubeClient;
  /** Of the resource in all namespaces or one: `/api/v1/pods`, `/apis/apps/v1/namespaces/x/deployments`. */
  readonly path: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
  /** What to find objects by, other than their key: see {@link Informer.by}. */
  readonly indexes?: IndexFunctions<T, I>;
  /** Fetches no more of the objects than their metadata. */
  readonly metadataOnly?: boolean;
  /** Told what went wrong; the informer goes on by itself. */
  readonly onError?: (error: Error) => void;
  readonly clock?: Clock;
  readonly random?: () => number;
};

const BACKOFF = { base: 200, max: 10_000 };
/** A watch that ends sooner than this without a word counts as a failure, in milliseconds. */
const SHORT_WATCH = 1_000;
const METADATA = {
  list: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1',
  watch: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
};

/**
 * A copy of all objects of a resource that follows the server: a list, then a watch from its version, which is resumed
 * where it ended, and begun anew with a list when the server has forgotten that version (410).
 */
export class Informer<T extends KubeObject, I extends string = never> {
  /** Resolves when the first list is in; rejects when stopped before. */
  readonly synced: Promise<void>;
  readonly #options: InformerOptions<T, I>;
  readonly #clock: Clock;
  readonly #objects: ObjectIndex<T, I>;
  readonly #handlers = new Set<ChangeHandler<T>>();
  readonly #abort = new AbortController();
  readonly #settle = Promise.withResolvers<void>();
  readonly #done: Promise<void>;
  #hasSynced = false;
  #version: string | undefined;
  #failures = 0;
  #isOpen = false;
  /** Resolved when a watch is open, for those who wait for that. */
  #opened = Promise.withResolvers<void>();
  /** Ends the wait after a failure. */
  #hurry = new AbortController();

  /** Begins at once. */
  constructor(options: InformerOptions<T, I>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#objects = new ObjectIndex(options.indexes);
    this.synced = this.#settle.promise;
    this.synced.catch(() => {});
    this.#opened.promise.catch(() => {});
    this.#done = this.#run();
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** @param key `namespace/name` or `name`. */
  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): T[] {
    return this.#objects.list();
  }

  /** The objects for which the index function gave this value. */
  by(index: I, value: string): T[] {
    return this.#objects.by(index, value);
  }

  /** Calls the handler for all that is there, and from now on at each change. @returns what ends that. */
  onChange(handler: ChangeHandler<T>): () => void {
    for (const object of this.#objects.list()) this.#call(handler, undefined, object);
    this.#handlers.add(handler);
    return () => this.#handlers.delete(handler);
  }

  /**
   * Resolves while the server tells of what changes, or says that there is no such resource. After a failure, when what is cached may be old,
   * all is listed at once, and not later. Rejects when stopped before.
   */
  live(): Promise<void> {
    if (!this.#isOpen && this.#failures > 0) {
      this.#version = undefined;
      this.#hurry.abort();
    }
    return this.#opened.promise;
  }

  /** Ends the watch. What is cached stays. */
  async stop(): Promise<void> {
    this.#abort.abort();
    this.#opened.reject(new Error(`informer of ${this.#options.path} was stopped`));
    this.#settle.reject(new Error(`informer of ${this.#options.path} was stopped before its first list`));
    await this.#done;
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      const wait = await this.#follow();
      if (!wait || signal.aborted) continue;
      this.#hurry = new AbortController();
      await sleep(this.#clock, wait, AbortSignal.any([signal, this.#hurry.signal]));
    }
  }

  /** Lists if it must, then watches once. @returns how long to wait before the next. */
  async #follow(): Promise<number> {
    try {
      if (this.#version === undefined) await this.#list();
      const begun = this.#clock.now();
      const heard = await this.#watch();
      if (heard || this.#clock.now() - begun >= SHORT_WATCH) this.#failures = 0;
      else return this.#backoff();
      return 0;
    } catch (error) {
      if (this.#abort.signal.aborted) return 0;
      // Being told to list again is no failure, but for the second time in a row.
      if (isGone(error)) {
        this.#version = undefined;
        return this.#failures++ === 0 ? 0 : this.#backoff();
      }
      if (isNotFound(error)) this.#opened.resolve();
      this.#report(error);
      return this.#backoff();
    }
  }

  #backoff(): number {
    const { random } = this.#options;
    return backoffDelay(this.#failures++, { ...BACKOFF, ...(random && { random }) });
  }

  get #selectors(): Query {
    const { fieldSelector, labelSelector } = this.#options;
    return { fieldSelector, labelSelector };
  }

  async #list(): Promise<void> {
    const { client, path, metadataOnly } = this.#options;
    const list = await client.request<List<T>>('GET', path, {
      query: this.#selectors,
      signal: this.#abort.signal,
      ...(metadataOnly && { accept: METADATA.list }),
    });
    const version = list.metadata?.resourceVersion;
    if (!version) throw new Error(`GET ${path}: the list has no resourceVersion to watch from`);
    const gone = new Set(this.#objects.keys());
    for (const object of list.items) {
      gone.delete(keyOf(object));
      this.#put(object);
    }
    for (const key of gone) this.#remove(key);
    this.#version = version;
    this.#hasSynced = true;
    this.#settle.resolve();
  }

  /** @returns whether anything was heard. */
  async #watch(): Promise<boolean> {
    const { client, path, metadataOnly, random = Math.random } = this.#options;
    let heard = false;
    const query = {
      ...this.#selectors,
      allowWatchBookmarks: true,
      resourceVersion: this.#version,
      // So that not all watches of a server end at the same time.
      timeoutSeconds: Math.round(300 * (1 + random())),
    };
    const options = {
      query,
      signal: this.#abort.signal,
      ...(metadataOnly && { accept: METADATA.watch }),
    };
    const onEvent = (event: WatchEvent<T>) => {
      heard = true;
      this.#failures = 0;
      this.#apply(event);
    };
    const onOpen = () => {
      this.#isOpen = true;
      this.#opened.resolve();
    };
    try {
      await client.watch<T>(path, options, onEvent, onOpen);
    } finally {
      if (this.#isOpen && !this.#abort.signal.aborted) {
        this.#opened = Promise.withResolvers<void>();
        this.#opened.promise.catch(() => {});
      }
      this.#isOpen = false;
    }
    return heard;
  }

  #apply({ type, object }: WatchEvent<T>): void {
    if (type === 'ADDED' || type === 'MODIFIED') this.#put(object);
    else if (type === 'DELETED') this.#remove(keyOf(object), object);
    this.#version = object.metadata?.resourceVersion ?? this.#version;
  }

  #put(object: T): void {
    const known = this.#objects.get(keyOf(object));
    // What a list tells again stays the object that it was: who goes by identity sees that nothing has changed.
    if (known && known.metadata?.resourceVersion === object.metadata?.resourceVersion) return;
    const old = this.#objects.put(object);
    // Deleted and made anew under its name while nobody was listening: two things that happened.
    if (old && old.metadata?.uid !== object.metadata?.uid) {
      this.#tell(old, undefined);
      this.#tell(undefined, object);
    } else this.#tell(old, object);
  }

  /** @param last how the object was in the end, which says more than the cache. */
  #remove(key: string, last?: T): void {
    const old = this.#objects.remove(key);
    if (old) this.#tell(last ?? old, undefined);
  }

  #tell(old: T | undefined, now: T | undefined): void {
    for (const handler of this.#handlers) this.#call(handler, old, now);
  }

  #call(handler: ChangeHandler<T>, old: T | undefined, now: T | undefined): void {
    try {
      handler(old, now);
    } catch (error) {
      this.#report(error);
    }
  }

  #report(error: unknown): void {
    const { onError = console.error, path } = this.#options;
    onError(error instanceof ApiError ? error : new Error(`informer of ${path}: ${error}`, { cause: error }));
  }
}
