import { setTimeout } from 'node:timers/promises';
import { type BpfValue, bytesCodec, type Codec } from '../btf/codec.ts';
import { Mapping, watch } from '../syscalls.ts';
import type { BpfMap } from './map.ts';

const BUSY = 0x8000_0000;
const DISCARDED = 0x4000_0000;
const PAGE = 4096;

/**
 * Reads a ring buffer map's records. The kernel wakes the event loop when there are some; neither a thread nor a timer waits.
 * What is not read stays in the ring, and when that is full, the programs' reservations fail: that is the back pressure.
 *
 * A ring has one reader.
 */
export class RingBuffer<T = BpfValue> implements AsyncIterable<T>, Disposable {
  readonly #codec: Codec<T> | undefined;
  readonly #consumer: Mapping;
  readonly #producer: Mapping;
  readonly #mask: number;
  readonly #fd: number;
  #positions:
    | { consumer: BigUint64Array; producer: BigUint64Array; words: Int32Array; bytes: Uint8Array }
    | undefined;
  #waiting: { end: () => void } | undefined;

  /**
   * @param map   of type ringbuf; it has to stay open.
   * @param codec of the records, see `BpfObject.codec`; by default what the map's declaration says, else bytes as they are.
   */
  constructor(map: BpfMap, codec: Codec<T> | undefined = map.value.size > 0 ? map.value : undefined) {
    const size = map.info.maxEntries;
    this.#codec = codec;
    this.#fd = map.fd;
    this.#mask = size - 1;
    this.#consumer = new Mapping(map.fd, PAGE, 0, true);
    // The data is there twice in a row, so that no record is cut at the end.
    this.#producer = new Mapping(map.fd, PAGE + 2 * size, PAGE, false);
    this.#positions = {
      consumer: new BigUint64Array(this.#consumer.bytes, 0, 1),
      producer: new BigUint64Array(this.#producer.bytes, 0, 1),
      words: new Int32Array(this.#producer.bytes, PAGE),
      bytes: new Uint8Array(this.#producer.bytes, PAGE),
    };
  }

  /** Takes out what is there, at most `most` records. */
  read(most = Number.POSITIVE_INFINITY): T[] {
    const positions = this.#positions;
    if (!positions) throw new Error('the ring buffer is closed');
    const { consumer, producer, words, bytes } = positions;
    const records: T[] = [];
    let at = Atomics.load(consumer, 0);
    try {
      while (records.length < most && at < Atomics.load(producer, 0)) {
        const start = Number(at & BigInt(this.#mask));
        const header = Atomics.load(words, start >> 2) >>> 0;
        if (header >= BUSY) break;
        const length = header & ~(BUSY | DISCARDED);
        at += BigInt((length + 8 + 7) & ~7);
        // Copied: the kernel writes over it as soon as it is given back.
        if ((header & DISCARDED) === 0)
          records.push(this.#decode(bytes.slice(start + 8, start + 8 + length)));
      }
    } finally {
      Atomics.store(consumer, 0, at);
    }
    return records;
  }

  /** Resolves when there is something to read, or when the ring is closed. */
  readable(): Promise<void> {
    if (this.#waiting) throw new Error('a ring buffer has one reader');
    if (!this.#positions) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        poll.close();
        this.#waiting = undefined;
        resolve();
      };
      const poll = watch(this.#fd, end);
      this.#waiting = { end };
    });
  }

  /** All records as they come, until the ring is closed. The next ones are taken when the loop asks for them. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    while (this.#positions) {
      const records = this.read(256);
      if (records.length === 0) await this.readable();
      yield* records;
    }
  }

  /**
   * The same by the batch: what has come within `pause` milliseconds of the first record. Many records cost few wake-ups then, and each
   * may be that much later.
   */
  async *batches(pause: number): AsyncGenerator<T[]> {
    for (;;) {
      await this.readable();
      await setTimeout(pause);
      if (!this.#positions) return;
      const records = this.read();
      if (records.length > 0) yield records;
    }
  }

  close(): void {
    if (!this.#positions) return;
    this.#positions = undefined;
    this.#waiting?.end();
    this.#consumer.unmap();
    this.#producer.unmap();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #decode(bytes: Uint8Array): T {
    const codec = this.#codec ?? (bytesCodec(bytes.length) as Codec<T>);
    return codec.decode(new DataView(bytes.buffer), 0);
  }
}
