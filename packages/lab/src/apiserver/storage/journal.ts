/**
 * What is durable: a snapshot and the changes after it, in files of one checked line per object.
 *
 * `snapshot-R` holds what was at revision R, `journal-R` the changes after it. Compacting begins a new journal at once and
 * writes the snapshot in the background; it counts when it has got its name. The one before it and its journal are kept
 * until then: a process reads from there on, so that it always knows a whole journal of changes, and those who watched the one
 * before it go on where they were. A process that is killed leaves at most one torn line, the last of the newest journal, of a
 * change that nobody was told of.
 */
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { StoredObject } from '../object.ts';
import { jsonOf } from './json.ts';

export type Entry = {
  readonly revision: number;
  readonly resource: string;
  readonly key: string;
  /** null: deleted. */
  readonly object: StoredObject | null;
};

/** What is written of a snapshot at a time, in bytes. */
const CHUNK = 256 * 1024;

type Snapshot = { readonly revision: number; readonly length: number };
type Replay = (entry: Entry, size: number, inSnapshot: boolean) => void;

export class Journal {
  readonly #directory: string;
  #fd: number;
  readonly #compactAt: number;
  /** Bytes of the newest journal. */
  #length: number;
  /** The newest one, and its bytes. */
  #snapshot: Snapshot;
  #compacting: Promise<void> | undefined;

  private constructor(
    directory: string,
    compactAt: number,
    file: { fd: number; length: number; snapshot: Snapshot },
  ) {
    this.#directory = directory;
    this.#compactAt = compactAt;
    this.#fd = file.fd;
    this.#length = file.length;
    this.#snapshot = file.snapshot;
  }

  /**
   * Opens the journal of a directory, which is made when there is none.
   * @param options `compactAt`: length of a journal in bytes from which on it is worth a snapshot; 8 MiB unless given.
   * @param replay gets every entry, oldest first, with the length of its line.
   * @returns the journal, and the revision of the state that the replay began with.
   * @throws when a file is damaged otherwise than by being cut off.
   */
  static open(
    directory: string,
    options: { readonly compactAt?: number },
    replay: Replay,
  ): { journal: Journal; base: number } {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const names = readdirSync(directory);
    const journals = revisions(names, 'journal').sort((a, b) => a - b);
    // Before the first snapshot there was nothing.
    const beginning = journals[0] === 0 ? [0] : [];
    const states = [...beginning, ...revisions(names, 'snapshot').sort((a, b) => a - b)];
    const [base = 0, newest = base] = states.slice(-2);
    const kept = journals.filter((revision) => revision >= base);
    if (base > 0)
      readLines(path(directory, 'snapshot', base), false, (entry, size) => replay(entry, size, true));
    let length = 0;
    for (const revision of kept) {
      const file = path(directory, 'journal', revision);
      length = readLines(file, revision === kept.at(-1), (entry, size) => replay(entry, size, false));
    }
    removeBefore(directory, base);
    const fd = openSync(path(directory, 'journal', kept.at(-1) ?? base), 'a', 0o600);
    const { compactAt = 8 * 1024 * 1024 } = options;
    const snapshotLength = newest > 0 ? statSync(path(directory, 'snapshot', newest)).size : 0;
    const snapshot = { revision: newest, length: snapshotLength };
    return { journal: new Journal(directory, compactAt, { fd, length, snapshot }), base };
  }

  /** Whether it is time for a snapshot. */
  get isLong(): boolean {
    return !this.#compacting && this.#length > Math.max(this.#compactAt, 2 * this.#snapshot.length);
  }

  /** Puts a change down, before it is told to anybody. @throws with nothing put down. @returns its length. */
  append(entry: Entry): number {
    const line = encode(entry);
    try {
      for (let written = 0; written < line.length; ) written += writeSync(this.#fd, line, written);
    } catch (error) {
      ftruncateSync(this.#fd, this.#length);
      throw error;
    }
    this.#length += line.length;
    return line.length;
  }

  /** Replaces everything up to a revision by a snapshot, in the background. To be called when {@link isLong}. */
  compact(revision: number, entries: readonly Entry[]): void {
    const fd = openSync(path(this.#directory, 'journal', revision), 'a', 0o600);
    closeSync(this.#fd);
    this.#fd = fd;
    this.#length = 0;
    this.#compacting = this.#writeSnapshot(revision, entries)
      .catch((error) => process.emitWarning(`the API's state is not compacted: ${error}`))
      .finally(() => {
        this.#compacting = undefined;
      });
  }

  async #writeSnapshot(revision: number, entries: readonly Entry[]): Promise<void> {
    const name = path(this.#directory, 'snapshot', revision);
    const file = await open(`${name}.new`, 'w', 0o600);
    let total = 0;
    try {
      let chunk: Buffer[] = [];
      let bytes = 0;
      const flush = async () => {
        await file.writev(chunk);
        total += bytes;
        chunk = [];
        bytes = 0;
      };
      for (const entry of entries) {
        const line = encode(entry);
        chunk.push(line);
        bytes += line.length;
        if (bytes >= CHUNK) await flush();
      }
      if (chunk.length > 0) await flush();
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${name}.new`, name);
    removeBefore(this.#directory, this.#snapshot.revision);
    this.#snapshot = { revision, length: total };
  }

  async close(): Promise<void> {
    await this.#compacting;
    closeSync(this.#fd);
  }
}

function path(directory: string, kind: 'snapshot' | 'journal', revision: number): string {
  return join(directory, `${kind}-${revision}`);
}

function revisions(names: readonly string[], kind: 'snapshot' | 'journal'): number[] {
  return names.flatMap((name) => {
    const match = /^(snapshot|journal)-(\d+)$/.exec(name);
    return match?.[1] === kind ? [Number(match[2])] : [];
  });
}

/** Takes away what a snapshot has made superfluous. */
function removeBefore(directory: string, revision: number): void {
  const names = readdirSync(directory);
  for (const kind of ['snapshot', 'journal'] as const) {
    for (const old of revisions(names, kind)) if (old < revision) rmSync(path(directory, kind, old));
  }
}

/** CRC-32 of the JSON in hexadecimal, a space, the JSON, a newline. */
function encode({ revision, resource, key, object }: Entry): Buffer {
  const place = JSON.stringify({ revision, resource, key }).slice(0, -1);
  const json = `${place},"object":${object ? jsonOf(object) : null}}`;
  return Buffer.from(`${checksum(json)} ${json}\n`);
}

function decode(line: string): Entry | undefined {
  const json = line.slice(9);
  return line[8] === ' ' && line.slice(0, 8) === checksum(json) ? (JSON.parse(json) as Entry) : undefined;
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}

/** @param mayBeTorn whether a last line that is cut off is taken away. @returns the length of what is left. */
function readLines(file: string, mayBeTorn: boolean, each: (entry: Entry, size: number) => void): number {
  const bytes = readFileSync(file);
  for (let start = 0; start < bytes.length; ) {
    const newline = bytes.indexOf(10, start);
    const entry = newline < 0 ? undefined : decode(bytes.toString('utf8', start, newline));
    if (!entry) {
      if (!mayBeTorn || newline >= 0) {
        throw new Error(
          `${file} is damaged at byte ${start}. Restore it, or remove its directory and build the cluster anew.`,
        );
      }
      truncateSync(file, start);
      return start;
    }
    each(entry, newline + 1 - start);
    start = newline + 1;
  }
  return bytes.length;
}
