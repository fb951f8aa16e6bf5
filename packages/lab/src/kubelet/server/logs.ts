import { once } from 'node:events';
import { watch } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { offsetOfLast, parseLogLine } from './log-format.ts';

export type LogQuery = {
  readonly follow: boolean;
  readonly timestamps: boolean;
  readonly tailLines?: number;
  readonly limitBytes?: number;
  /** Lines before this are left out, in milliseconds since 1970. */
  readonly since?: number;
};

/** An end of the log that nobody tells is noticed after so long, in milliseconds. */
const LOOK_AGAIN = 500;
const BLOCK = 64 * 1024;

/**
 * Writes a container's log, as it asks for, and goes on with what is added until the container has ended.
 * @param running whether more may come.
 * @param signal ends it.
 */
export async function sendLog(
  path: string,
  query: LogQuery,
  out: Writable,
  running: () => Promise<boolean>,
  signal: AbortSignal,
): Promise<void> {
  await using file = await open(path);
  const wake = new Wake(path, signal);
  const writer = new LineWriter(query, out);
  try {
    let at = query.tailLines === undefined ? 0 : await offsetOfLast(file, query.tailLines);
    const buffer = Buffer.alloc(BLOCK);
    /** Sends all that is there. */
    const drain = async () => {
      for (;;) {
        const { bytesRead } = await file.read(buffer, 0, BLOCK, at);
        if (bytesRead === 0) return;
        at += bytesRead;
        await writer.write(Buffer.from(buffer.subarray(0, bytesRead)));
        if (writer.full || signal.aborted) return;
      }
    };
    await drain();
    while (query.follow && !writer.full && !signal.aborted) {
      const more = await running();
      await drain(); // What was written before it ended.
      if (!more) return;
      await wake.next(LOOK_AGAIN);
      await drain();
    }
  } finally {
    wake.close();
  }
}

/** Tells when a file has changed. */
class Wake {
  readonly #watcher;
  #changed = false;
  #resolve: (() => void) | undefined;

  constructor(path: string, signal: AbortSignal) {
    const tell = () => {
      this.#changed = true;
      this.#resolve?.();
    };
    this.#watcher = watch(path, tell);
    this.#watcher.on('error', tell);
    signal.addEventListener('abort', tell, { once: true });
  }

  /** Resolves at a change since the last time, or after `ms`. */
  async next(ms: number): Promise<void> {
    if (!this.#changed) {
      const timer = setTimeout(() => this.#resolve?.(), ms);
      await new Promise<void>((resolve) => {
        this.#resolve = resolve;
      });
      clearTimeout(timer);
    }
    this.#changed = false;
  }

  close(): void {
    this.#watcher.close();
  }
}

/** Turns the lines of the file into what was asked for. */
class LineWriter {
  readonly #query: LogQuery;
  readonly #out: Writable;
  #rest = Buffer.alloc(0);
  #sent = 0;
  #midLine = false;

  constructor(query: LogQuery, out: Writable) {
    this.#query = query;
    this.#out = out;
  }

  /** Whether no more may be sent. */
  get full(): boolean {
    return this.#sent >= (this.#query.limitBytes ?? Number.POSITIVE_INFINITY);
  }

  async write(chunk: Buffer): Promise<void> {
    const all = Buffer.concat([this.#rest, chunk]);
    const end = all.lastIndexOf(0x0a) + 1;
    this.#rest = all.subarray(end);
    const text = all
      .toString('utf8', 0, end)
      .split('\n')
      .slice(0, -1)
      .map((line) => this.#shown(line))
      .join('');
    const { limitBytes = Number.POSITIVE_INFINITY } = this.#query;
    const bytes = Buffer.from(text).subarray(0, Math.min(limitBytes - this.#sent, Number.MAX_SAFE_INTEGER));
    this.#sent += bytes.length;
    if (bytes.length > 0 && !this.#out.write(bytes))
      await Promise.race([once(this.#out, 'drain'), once(this.#out, 'close')]);
  }

  #shown(raw: string): string {
    const line = parseLogLine(raw);
    if (!line) return '';
    const { since } = this.#query;
    if (since !== undefined && Date.parse(line.time) < since) return '';
    const time = this.#query.timestamps && !this.#midLine ? `${line.time} ` : '';
    this.#midLine = line.partial;
    return time + line.text + (line.partial ? '' : '\n');
  }
}
