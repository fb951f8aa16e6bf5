import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** A folder that has a containerd root with images, as `ensureImages` makes it. */
export type PreparedFolder = { readonly folder: string };

const CONTENT = 'io.containerd.content.v1.content';
const METADATA = 'io.containerd.metadata.v1.bolt/meta.db';
const SNAPSHOTTER = 'io.containerd.snapshotter.v1.overlayfs';
/** In a node's root: where its images come from. */
const ORIGIN = 'enid-images';
/** In a prepared folder: the roots made from it, a file each. */
const USERS = 'users';

/** Where a containerd root has a blob. */
export function blobPath(root: string, digest: string): string {
  return join(root, CONTENT, 'blobs', digest.replace(':', '/'));
}

/**
 * Makes containerd's root for one node from prepared images. The databases are the node's own; content and unpacked
 * layers are links into the prepared folder, since containerd only ever reads them: a container writes to a layer of
 * its own, and an image is removed by removing links. A root that is there already stays as it is, containers and all.
 *
 * The links are absolute: the prepared folder has to be seen at the same path where containerd runs.
 */
export async function prepareContainerdRoot({
  prepared,
  root,
}: {
  readonly prepared: PreparedFolder;
  readonly root: string;
}): Promise<void> {
  if (await originOf(root)) return;
  const from = join(prepared.folder, 'containerd');
  await addUser(prepared.folder, root);
  await mkdir(root, { recursive: true, mode: 0o711 });
  await mkdir(join(root, CONTENT, 'ingest'), { recursive: true });
  for (const folder of [join(CONTENT, 'blobs/sha256'), join(SNAPSHOTTER, 'snapshots')]) {
    await mkdir(join(root, folder), { recursive: true });
    for (const name of await readdir(join(from, folder)))
      await linkTo(join(from, folder, name), join(root, folder, name));
  }
  for (const database of [METADATA, join(SNAPSHOTTER, 'metadata.db')]) {
    await mkdir(dirname(join(root, database)), { recursive: true });
    await copyFile(join(from, database), join(root, database));
  }
  await symlink(prepared.folder, join(root, ORIGIN)); // Last: now it is whole.
}

/** Deletes a node's containerd root, and tells the cache that it is gone. Nothing may run from it. Idempotent. */
export async function removeContainerdRoot(root: string): Promise<void> {
  const origin = await originOf(root);
  await rm(root, { recursive: true, force: true });
  if (origin) await rm(join(origin, USERS, userName(root)), { force: true });
}

/** Roots that are made from a prepared folder and still there. */
export async function usersOf(folder: string): Promise<string[]> {
  const names = await readdir(join(folder, USERS)).catch(() => []);
  const roots = await Promise.all(names.map((name) => readFile(join(folder, USERS, name), 'utf8')));
  const origins = await Promise.all(roots.map(originOf));
  return roots.filter((_, index) => origins[index] === folder);
}

/** Another attempt may have been cut short: what it made stays. */
async function linkTo(target: string, path: string): Promise<void> {
  await symlink(target, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
}

async function addUser(folder: string, root: string): Promise<void> {
  await mkdir(join(folder, USERS), { recursive: true });
  await writeFile(join(folder, USERS, userName(root)), root);
}

function userName(root: string): string {
  return createHash('sha256').update(root).digest('hex').slice(0, 16);
}

async function originOf(root: string): Promise<string | undefined> {
  return await readlink(join(root, ORIGIN)).catch(() => undefined);
}
