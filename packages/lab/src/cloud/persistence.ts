import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { CloudState } from './state.ts';

const VERSION = 'enid-cloud/1';

/** The account on disk: a reader sees it whole, as it was after one change or the next. */
export class StateFile {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws when the file is of another version, or cannot be read. @returns undefined when there is none. */
  read(): CloudState | undefined {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    const { version, state } = JSON.parse(text) as { version: string; state: CloudState };
    if (version === VERSION) return state;
    throw new Error(
      `${this.#path} has the version ${version}, not ${VERSION}: it is of another release. ` +
        'Take the lab down with the release that made it, and build it anew.',
    );
  }

  write(state: CloudState): void {
    const next = `${this.#path}.new`;
    writeFileSync(next, JSON.stringify({ version: VERSION, state }), { mode: 0o600 });
    renameSync(next, this.#path);
  }
}
