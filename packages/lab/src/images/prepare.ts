import { link, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { importImages } from '../containerd/import.ts';
import { blobPath, usersOf } from '../containerd/root.ts';
import { catalog, type Image, type Layer } from './catalog.ts';
import { exclusively } from './exclusive.ts';
import { Fingerprints } from './fingerprint.ts';
import { type BuiltLayer, buildLayers, layerFolder, stackOf } from './layers.ts';
import { ImageArchive, type PreparedImage } from './oci.ts';

/** What nobody uses and nobody has asked for in this time is deleted from the cache, in milliseconds. */
const KEPT_UNUSED = 15 * 60_000;

/** Images, unpacked, from which containerd's root of any number of nodes is made at once. */
export type PreparedImages = {
  /** Folder in the cache that has containerd's root, which is never written again. */
  readonly folder: string;
  readonly images: readonly PreparedImage[];
};

export type ImageOptions = {
  /** Folder that keeps what was made. It must be on a file system that overlayfs can take as a lower one. */
  readonly cache: string;
  /** Told in a few words what is being done, when there is something to do. */
  readonly report?: (line: string) => void;
  /** The lab's images, if not told otherwise. */
  readonly images?: readonly Image[];
};

/**
 * Makes the lab's images and unpacks them, unless the cache has them already, made from the same packages and sources.
 * Several processes may ask at a time.
 */
export async function ensureImages({
  cache,
  report = () => {},
  images = catalog,
}: ImageOptions): Promise<PreparedImages> {
  const fingerprints = new Fingerprints();
  const key = await fingerprints.ofImages(images);
  const folder = join(cache, 'prepared', key);
  const found = await readPrepared(folder);
  if (found) return found;
  await mkdir(join(cache, 'layers'), { recursive: true });
  await mkdir(join(cache, 'prepared'), { recursive: true });
  await using _ = await exclusively(`images-${(await stat(cache)).ino}`);
  const foundMeanwhile = await readPrepared(folder);
  if (foundMeanwhile) return foundMeanwhile;
  await removeUnused(cache, images, fingerprints);
  const layers = await buildLayers(images, join(cache, 'layers'), fingerprints, report);
  return await prepare(folder, images, layers, report);
}

async function prepare(
  folder: string,
  images: readonly Image[],
  layers: ReadonlyMap<Layer, BuiltLayer>,
  report: (line: string) => void,
): Promise<PreparedImages> {
  const unfinished = `${folder}.${process.pid}`;
  try {
    const archive = new ImageArchive(images, layers);
    report(`unpacking ${images.length} container images`);
    await importImages(archive, join(unfinished, 'containerd'));
    for (const layer of layers.values()) await shareBlob(layer, unfinished);
    await writeFile(join(unfinished, 'images.json'), JSON.stringify(archive.images, null, 2));
    await rename(unfinished, folder);
    return { folder, images: archive.images };
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

/** The cache's archive of a layer and containerd's copy become one file. */
async function shareBlob({ file, digest }: BuiltLayer, folder: string): Promise<void> {
  const blob = blobPath(join(folder, 'containerd'), digest);
  await rm(blob);
  await link(file, blob);
}

async function readPrepared(folder: string): Promise<PreparedImages | undefined> {
  try {
    const images = JSON.parse(await readFile(join(folder, 'images.json'), 'utf8')) as PreparedImage[];
    const now = new Date();
    await utimes(folder, now, now); // Asked for.
    return { folder, images };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Deletes what earlier sources made, except what a node still uses. */
async function removeUnused(
  cache: string,
  images: readonly Image[],
  fingerprints: Fingerprints,
): Promise<void> {
  const inUse = new Set<string>();
  for (const layer of new Set(images.flatMap((image) => stackOf(image.layer))))
    inUse.add(layerFolder(layer, await fingerprints.ofLayer(layer)));
  for (const kind of ['layers', 'prepared']) {
    for (const name of await readdir(join(cache, kind))) {
      const path = join(cache, kind, name);
      const isOld = Date.now() - (await stat(path)).mtimeMs > KEPT_UNUSED;
      if (isOld && !inUse.has(name) && (await usersOf(path)).length === 0)
        await rm(path, { recursive: true, force: true });
    }
  }
}
