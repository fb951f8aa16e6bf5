import { appendFile, mkdir, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

export type FlowLogOptions = {
  readonly file: string;
  /** Bytes after which a new file is begun, and how many old ones are kept, as `.1` (the youngest), `.2` ... */
  readonly maxBytes?: number;
  readonly keep?: number;
  /** Told once of what keeps the file from being written; lines are dropped until it works again. */
  readonly onError: (error: Error) => void;
};

/** Lines that wait to be written; more are dropped. */
const MOST_WAITING = 10_000;

/** A log of lines in files that take turns. Writing is in the background. */
export class FlowLog implements AsyncDisposable {
  readonly #options: Required<FlowLogOptions>;
  #waiting: string[] = [];
  #writing: Promise<void> | undefined;
  /** Of the file that is written; undefined until it was looked at. */
  #size: number | undefined;
  #failed = false;

  constructor(options: FlowLogOptions) {
    this.#options = { maxBytes: 10 * 1024 * 1024, keep: 3, ...options };
  }

  write(line: string): void {
    if (this.#waiting.length >= MOST_WAITING) return;
    this.#waiting.push(line);
    this.#writing ??= this.#flush();
  }

  /** Resolves when all is written. */
  async written(): Promise<void> {
    await this.#writing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.written();
  }

  async #flush(): Promise<void> {
    const { file, maxBytes, onError } = this.#options;
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      try {
        this.#size ??= await sizeOf(file);
        if (this.#size >= maxBytes) await this.#rotate();
        const text = `${lines.join('\n')}\n`;
        await appendFile(file, text, { mode: 0o640 });
        this.#size += Buffer.byteLength(text);
        this.#failed = false;
      } catch (error) {
        this.#size = undefined;
        if (!this.#failed) onError(error as Error);
        this.#failed = true;
      }
    }
    this.#writing = undefined;
  }

  async #rotate(): Promise<void> {
    const { file, keep } = this.#options;
    const name = (age: number) => (age === 0 ? file : `${file}.${age}`);
    for (let age = keep - 1; age >= 0; age--) {
      await rename(name(age), name(age + 1)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      });
    }
    this.#size = 0;
  }
}

async function sizeOf(file: string): Promise<number> {
  await mkdir(dirname(file), { recursive: true });
  return stat(file).then(
    ({ size }) => size,
    () => 0,
  );
}
