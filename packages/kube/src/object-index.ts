import { type KubeObject, keyOf } from './wire.ts';

/** For each index: the values by which an object is found in it. */
export type IndexFunctions<T, I extends string> = Readonly<Record<I, (object: T) => readonly string[]>>;

/** Objects by key and by any number of secondary indexes. */
export class ObjectIndex<T extends KubeObject, I extends string = never> {
  readonly #objects = new Map<string, T>();
  readonly #functions: readonly [I, (object: T) => readonly string[]][];
  readonly #indexes = new Map<I, Map<string, Map<string, T>>>();

  constructor(functions?: IndexFunctions<T, I>) {
    this.#functions = Object.entries(functions ?? {}) as [I, (object: T) => readonly string[]][];
    for (const [name] of this.#functions) this.#indexes.set(name, new Map());
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  keys(): Iterable<string> {
    return this.#objects.keys();
  }

  list(): T[] {
    return [...this.#objects.values()];
  }

  by(index: I, value: string): T[] {
    return [...(this.#indexes.get(index)!.get(value)?.values() ?? [])];
  }

  /** @returns what was there before. */
  put(object: T): T | undefined {
    const key = keyOf(object);
    const old = this.remove(key);
    this.#objects.set(key, object);
    for (const [name, values] of this.#functions) {
      const index = this.#indexes.get(name)!;
      for (const value of values(object)) {
        const found = index.get(value);
        if (found) found.set(key, object);
        else index.set(value, new Map([[key, object]]));
      }
    }
    return old;
  }

  /** @returns what was there. */
  remove(key: string): T | undefined {
    const old = this.#objects.get(key);
    if (!old) return undefined;
    this.#objects.delete(key);
    for (const [name, values] of this.#functions) {
      const index = this.#indexes.get(name)!;
      for (const value of values(old)) {
        const found = index.get(value);
        found?.delete(key);
        if (found?.size === 0) index.delete(value);
      }
    }
    return old;
  }
}
