import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  mkdir,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';

export type VolumeFile = { readonly data: Buffer; readonly mode: number };
/** Files by path relative to the volume. */
export type Payload = ReadonlyMap<string, VolumeFile>;

const DATA = '..data';

/**
 * Puts files into a volume all at once: they are in a directory of their own, `..data` links to it, and each visible
 * name links into `..data`. A reader never sees the old of one and the new of another (pkg/volume/util/atomic_writer.go).
 * @param group owns the files, when given, and may read them.
 */
export async function writeAtomically(volume: string, payload: Payload, group?: number): Promise<void> {
  await mkdir(volume, { recursive: true, mode: 0o755 });
  const directory = `..${new Date().toISOString().replaceAll(/[-:TZ]/g, '_')}${randomBytes(4).toString('hex')}`;
  await mkdir(join(volume, directory), { mode: 0o755 });
  for (const [path, { data, mode }] of payload) {
    const file = join(volume, directory, path);
    await mkdir(dirname(file), { recursive: true, mode: 0o755 });
    await writeFile(file, data);
    if (group !== undefined) await chown(file, -1, group);
    // Apart from umask's wish.
    await chmod(file, group === undefined ? mode : mode | ((mode & 0o400) >> 3));
  }
  const before = await readlink(join(volume, DATA)).catch(() => undefined);
  await rm(join(volume, '..data_tmp'), { force: true }); // Of a write that was cut short.
  await symlink(directory, join(volume, '..data_tmp'));
  await rename(join(volume, '..data_tmp'), join(volume, DATA));

  const visible = new Set([...payload.keys()].map((path) => path.split('/')[0]!));
  const present = (await readdir(volume)).filter((name) => !name.startsWith('..'));
  for (const name of visible)
    if (!present.includes(name)) await symlink(join(DATA, name), join(volume, name));
  for (const name of present) if (!visible.has(name)) await unlink(join(volume, name));
  if (before) await rm(join(volume, before), { recursive: true, force: true });
}

/** Whether both have the same files. */
export function samePayload(a: Payload, b: Payload): boolean {
  if (a.size !== b.size) return false;
  for (const [path, { data, mode }] of a) {
    const other = b.get(path);
    if (!other || other.mode !== mode || !other.data.equals(data)) return false;
  }
  return true;
}
