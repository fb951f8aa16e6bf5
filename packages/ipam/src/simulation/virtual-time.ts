/** Milliseconds to wait. What waits is a generator: it yields how long, and goes on when that has passed. */
export type Process<T = void> = Generator<number, T>;

type Entry = { readonly at: number; readonly order: number; readonly run: () => void };

/**
 * A clock of whole milliseconds that jumps from event to event. Those of the same instant happen in the order in which
 * they were asked for.
 */
export class VirtualTime {
  #now = 0;
  #order = 0;
  /** A binary heap, the earliest first. */
  readonly #heap: Entry[] = [];

  /** Milliseconds since the start. */
  get now(): number {
    return this.#now;
  }

  at(at: number, run: () => void): void {
    const entry = { at: Math.max(Math.ceil(at), this.#now), order: this.#order++, run };
    const heap = this.#heap;
    let index = heap.length;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(entry, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = entry;
  }

  /** Starts a process now. */
  spawn(process: Process): void {
    const step = () => {
      const { done, value } = process.next();
      if (!done) this.at(this.#now + value, step);
    };
    step();
  }

  /** Lets everything happen that is due by `end`. */
  runUntil(end: number): void {
    while (this.#heap.length > 0 && this.#heap[0]!.at <= end) {
      const { at, run } = this.#pop();
      this.#now = at;
      run();
    }
    this.#now = end;
  }

  #pop(): Entry {
    const heap = this.#heap;
    const first = heap[0]!;
    const last = heap.pop()!;
    if (heap.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
    return first;
  }
}

const isBefore = (a: Entry, b: Entry): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
