import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Image, Layer } from './catalog.ts';
import { memo } from './memo.ts';
import { CHECKOUT } from './programs.ts';

/** Larger files are known by their size and the time of their last change. */
const READ_UP_TO = 4 << 20;

const HERE = 'packages/lab/src/images';
/** What every layer is made by. */
const LAYER_TOOLS = ['file-tree.ts', 'debian.ts', 'programs.ts'].map((name) => `${HERE}/${name}`);
/** What makes images of layers, and unpacks them. */
const IMAGE_TOOLS = [
  ...['layers.ts', 'oci.ts', 'prepare.ts'].map((name) => `${HERE}/${name}`),
  'packages/lab/src/containerd/import.ts',
];

/** Short names for content: what has the same key need not be made again. */
export class Fingerprints {
  /** A layer's key, which its inputs and those of the layers beneath it make up. */
  readonly ofLayer: (layer: Layer) => Promise<string> = memo((layer) => this.#layerKey(layer));
  readonly #ofPath: (path: string) => Promise<string> = memo((path) => this.#readKey(path));

  /** The key of images together. */
  async ofImages(images: readonly Image[]): Promise<string> {
    const keys = await Promise.all(images.map(({ layer }) => this.ofLayer(layer)));
    return digestOf([
      ...keys,
      ...(await this.#pathKeys(IMAGE_TOOLS)),
      JSON.stringify(images.map(({ names, config }) => ({ names, config }))),
    ]);
  }

  async #layerKey({ on, packages, sources = [], compose, name }: Layer): Promise<string> {
    return digestOf([
      name,
      process.arch,
      on ? await this.ofLayer(on) : '',
      packages?.join(' ') ?? '',
      `${compose}`,
      ...(await this.#pathKeys([...LAYER_TOOLS, ...sources])),
    ]);
  }

  async #pathKeys(paths: readonly string[]): Promise<string[]> {
    return await Promise.all(paths.map(this.#ofPath));
  }

  async #readKey(path: string): Promise<string> {
    const absolute = path.startsWith('/') ? path : join(CHECKOUT, path);
    const found = await stat(absolute).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined; // A part of the map that is not there yet.
      throw error;
    });
    if (!found || path.endsWith('.test.ts')) return '';
    if (found.isDirectory()) {
      const names = (await readdir(absolute)).filter((name) => name !== 'node_modules').sort();
      return digestOf(
        await Promise.all(names.map(async (name) => `${name} ${await this.#ofPath(join(path, name))}`)),
      );
    }
    if (found.size > READ_UP_TO) return `${found.size} ${found.mtimeMs}`;
    return digestOf([await readFile(absolute)]);
  }
}

/** A short digest of a list. */
export function digestOf(parts: readonly (string | Buffer)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return hash.digest('hex').slice(0, 24);
}
