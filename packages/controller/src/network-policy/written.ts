import type { KubeObject } from '@enid/kube';
import { keyOf } from '@enid/kube';

/**
 * What was written and may not have come back by the watch yet: without it, the next change would be planned on what was
 * before. A version of the same object that is newer takes its place.
 */
export class Written<T extends KubeObject> {
  /** By owner, by key: the object, or `undefined` and the version that is gone. */
  readonly #by = new Map<string, Map<string, { readonly object: T | undefined; readonly version: bigint }>>();

  /** @param object as the server answered. */
  put(owner: string, object: T): void {
    this.#of(owner).set(keyOf(object), { object, version: versionOf(object) });
  }

  delete(owner: string, object: T): void {
    this.#of(owner).set(keyOf(object), { object: undefined, version: versionOf(object) });
  }

  /** Trust the watch alone: something was not as it was thought to be. */
  forget(owner: string): void {
    this.#by.delete(owner);
  }

  /** The objects that an owner has, of which the watch has shown some. */
  over(owner: string, seen: readonly T[]): T[] {
    const written = this.#by.get(owner);
    if (!written) return [...seen];
    const objects = new Map(seen.map((object) => [keyOf(object), object]));
    for (const [key, { object, version }] of written) {
      const shown = objects.get(key);
      if (shown && (object ? versionOf(shown) >= version : versionOf(shown) > version)) {
        written.delete(key);
      } else if (object) objects.set(key, object);
      // The watch still shows what was deleted, or has shown its end.
      else if (!objects.delete(key)) written.delete(key);
    }
    if (written.size === 0) this.#by.delete(owner);
    return [...objects.values()];
  }

  /** Whether this is what was written last: no news. */
  knows(owner: string, object: T): boolean {
    const written = this.#by.get(owner)?.get(keyOf(object));
    return written !== undefined && versionOf(object) <= written.version;
  }

  /** The watch says that an object is gone. */
  gone(owner: string, object: T): void {
    const of = this.#by.get(owner);
    of?.delete(keyOf(object));
    if (of?.size === 0) this.#by.delete(owner);
  }

  #of(owner: string) {
    let of = this.#by.get(owner);
    if (!of) {
      of = new Map();
      this.#by.set(owner, of);
    }
    return of;
  }
}

/** As etcd counts: the versions of one resource can be compared. */
const versionOf = (object: KubeObject) => BigInt(object.metadata?.resourceVersion ?? 0);
