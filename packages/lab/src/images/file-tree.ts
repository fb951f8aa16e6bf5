import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Header, type Pack, pack } from 'tar-stream';

/** All files of an image have it, so that the same content is the same layer. */
const MODIFIED = new Date('2024-01-01T00:00:00Z');

type Entry = {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
} & (
  | { readonly type: 'directory' }
  | { readonly type: 'symlink'; readonly target: string }
  /** A body that is text is a path: large files are read when they are packed. */
  | { readonly type: 'file'; readonly body: Buffer | string }
);

const ROOT = { uid: 0, gid: 0 };

/** The files of a layer, before they are packed. Paths start without a slash. */
export class FileTree {
  readonly #entries = new Map<string, Entry>();

  directory(path: string, mode = 0o755): void {
    this.#add(path, { type: 'directory', mode, ...ROOT });
  }

  file(path: string, content: string | Buffer, mode = 0o644): void {
    this.#add(path, { type: 'file', mode, body: Buffer.from(content), ...ROOT });
  }

  /** A file with the content of one on this machine. */
  copy(path: string, from: string, mode = 0o644): void {
    this.#add(path, { type: 'file', mode, body: from, ...ROOT });
  }

  link(path: string, target: string): void {
    this.#add(path, { type: 'symlink', target, mode: 0o777, ...ROOT });
  }

  /** An entry of an archive, under a name of the caller's. What a container cannot use, a device say, is left out. */
  archived(path: string, header: EntryHeader, body: Buffer): void {
    const { mode = 0o644, uid = 0, gid = 0 } = header;
    const owner = { mode, uid, gid };
    if (header.type === 'directory') this.#add(path, { type: 'directory', ...owner });
    else if (header.type === 'file') this.#add(path, { type: 'file', body, ...owner });
    else if (header.type === 'symlink')
      this.#add(path, { type: 'symlink', target: header.linkname!, ...owner });
  }

  /** A second name for a file that is there. */
  alias(path: string, existing: string): void {
    this.#add(path, this.#entryOf(existing));
  }

  /** The content of a file that was added with its content. */
  read(path: string): Buffer {
    const entry = this.#entryOf(path);
    if (entry.type !== 'file' || typeof entry.body === 'string')
      throw new Error(`${path} has no content here`);
    return entry.body;
  }

  has(path: string): boolean {
    return this.#entries.has(path);
  }

  /** Writes the tree as a tar archive: the same tree gives the same bytes. */
  async pack(to: Writable): Promise<void> {
    const archive = pack();
    await Promise.all([pipeline(archive, to), this.#packInto(archive)]);
  }

  async #packInto(archive: Pack): Promise<void> {
    const paths = [...this.#entries.keys()].sort();
    for (const path of paths) {
      const entry = this.#entryOf(path);
      const { mode, uid, gid } = entry;
      const header = { name: path, mode, uid, gid, mtime: MODIFIED };
      if (entry.type === 'directory') archive.entry({ ...header, name: `${path}/`, type: 'directory' });
      else if (entry.type === 'symlink')
        archive.entry({ ...header, type: 'symlink', linkname: entry.target });
      else await addFile(archive, header, entry.body);
    }
    archive.finalize();
  }

  #entryOf(path: string): Entry {
    const entry = this.#entries.get(path);
    if (!entry) throw new Error(`${path} is not among the layer's files`);
    return entry;
  }

  #add(path: string, entry: Entry): void {
    for (let parent = dirname(path); parent !== '.' && !this.#entries.has(parent); parent = dirname(parent))
      this.#entries.set(parent, { type: 'directory', mode: 0o755, ...ROOT });
    this.#entries.set(path, entry);
  }
}

/** What an archive is told of an entry. */
export type EntryHeader = Partial<Header> & Pick<Header, 'name'>;

/** Adds a file to an archive; a body that is text is the path of a file to read. */
export async function addFile(archive: Pack, header: EntryHeader, body: Buffer | string): Promise<void> {
  if (typeof body !== 'string') {
    await new Promise<void>((resolve, reject) =>
      archive.entry({ ...header, size: body.length }, body, (error) => (error ? reject(error) : resolve())),
    );
    return;
  }
  const { size } = await stat(body);
  await pipeline(createReadStream(body, { highWaterMark: 1 << 20 }), archive.entry({ ...header, size }));
}
