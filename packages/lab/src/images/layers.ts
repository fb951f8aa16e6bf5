import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Image, Layer } from './catalog.ts';
import { downloadPackages, unpackPackage } from './debian.ts';
import { FileTree } from './file-tree.ts';
import type { Fingerprints } from './fingerprint.ts';
import { memo } from './memo.ts';

/** A layer as an archive in the cache. */
export type BuiltLayer = {
  readonly file: string;
  /** `sha256:...` of the archive, which is not compressed. */
  readonly digest: string;
  readonly size: number;
  /** Debian packages in it, by name. */
  readonly packages: readonly string[];
};

/** A layer and those beneath it, the lowest first. */
export function stackOf(layer: Layer): Layer[] {
  return layer.on ? [...stackOf(layer.on), layer] : [layer];
}

/**
 * Makes the archives of all layers of some images, except those that the cache has.
 * @param folder of the cache, where each layer has a folder named for its key.
 */
export async function buildLayers(
  images: readonly Image[],
  folder: string,
  fingerprints: Fingerprints,
  report: (line: string) => void,
): Promise<ReadonlyMap<Layer, BuiltLayer>> {
  const build: (layer: Layer) => Promise<BuiltLayer> = memo(async (layer) => {
    const target = join(folder, layerFolder(layer, await fingerprints.ofLayer(layer)));
    const cached = await readRecord(target);
    if (cached) return cached;
    const below = layer.on ? await Promise.all(stackOf(layer.on).map(build)) : [];
    report(`composing the layer "${layer.name}" of container images`);
    return await compose(layer, target, new Set(below.flatMap(({ packages }) => packages)));
  });
  const layers = new Set(images.flatMap(({ layer }) => stackOf(layer)));
  return new Map(await Promise.all([...layers].map(async (layer) => [layer, await build(layer)] as const)));
}

/** Name of a layer's folder in the cache. */
export function layerFolder(layer: Layer, key: string): string {
  return `${layer.name}-${key}`;
}

async function readRecord(folder: string): Promise<BuiltLayer | undefined> {
  try {
    const record = JSON.parse(await readFile(join(folder, 'layer.json'), 'utf8')) as BuiltLayer;
    return { ...record, file: join(folder, 'layer.tar') };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function compose(layer: Layer, target: string, beneath: ReadonlySet<string>): Promise<BuiltLayer> {
  const tree = new FileTree();
  const packages = layer.packages ? await addPackages(tree, layer.packages, beneath) : [];
  await layer.compose?.(tree);
  const unfinished = `${target}.${process.pid}`;
  await mkdir(unfinished, { recursive: true });
  try {
    const hash = createHash('sha256');
    let size = 0;
    const measure = new Transform({
      transform(chunk: Buffer, _, done) {
        hash.update(chunk);
        size += chunk.length;
        done(null, chunk);
      },
    });
    await Promise.all([
      pipeline(measure, createWriteStream(join(unfinished, 'layer.tar'))),
      tree.pack(measure),
    ]);
    const record: Omit<BuiltLayer, 'file'> = { digest: `sha256:${hash.digest('hex')}`, size, packages };
    await writeFile(join(unfinished, 'layer.json'), JSON.stringify(record));
    await rename(unfinished, target);
    return { ...record, file: join(target, 'layer.tar') };
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

/** @returns the names of the packages that were added. */
async function addPackages(
  tree: FileTree,
  names: readonly string[],
  beneath: ReadonlySet<string>,
): Promise<string[]> {
  await using downloaded = await downloadPackages(names);
  const added = downloaded.packages.filter(({ name }) => !beneath.has(name));
  for (const each of added) await unpackPackage(each, tree);
  return added.map(({ name }) => name);
}
