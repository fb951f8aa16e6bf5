import type { KubeClient } from './client.ts';
import type { Clock } from './clock.ts';
import { Informer } from './informer.ts';
import type { IndexFunctions } from './object-index.ts';
import type { KubeObject } from './wire.ts';

export type InformersOptions = {
  readonly client: KubeClient;
  readonly clock?: Clock;
  /** Told what went wrong; informers go on by themselves. */
  readonly onError?: (error: Error) => void;
  /** Stops all, and ends the wait for their first lists. */
  readonly signal?: AbortSignal;
};

/** The informers of a process: one for a resource, whoever asks for it, so that none is watched or kept twice. */
export class Informers implements AsyncDisposable {
  readonly #options: InformersOptions;
  /** By path. Each is for objects of its own type. */
  readonly #informers = new Map<string, Informer<never, never>>();
  readonly #giveUp = () => void this.#stop();

  constructor(options: InformersOptions) {
    this.#options = options;
    options.signal?.addEventListener('abort', this.#giveUp);
  }

  /** @param indexes by which objects are to be found: all who ask for a path must ask for the same. */
  follow<T extends KubeObject, I extends string = never>(
    path: string,
    indexes?: IndexFunctions<T, I>,
  ): Informer<T, I> {
    const { signal, ...options } = this.#options;
    const found = this.#informers.get(path) as Informer<T, I> | undefined;
    if (found) return found;
    const informer = new Informer<T, I>({ ...options, path, ...(indexes && { indexes }) });
    if (signal?.aborted) void informer.stop();
    this.#informers.set(path, informer as unknown as Informer<never, never>);
    return informer;
  }

  /** Resolves when the first lists of all that are followed by now are in; rejects when stopped before. */
  async synced(): Promise<void> {
    await Promise.all([...this.#informers.values()].map((informer) => informer.synced));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#giveUp);
    await this.#stop();
  }

  async #stop(): Promise<void> {
    await Promise.all([...this.#informers.values()].map((informer) => informer.stop()));
  }
}
