import { mkdir, open, stat } from 'node:fs/promises';
import type { Volume } from '../pod.ts';

/** Sees to it that a hostPath is what its type says; the `OrCreate` ones are made. @throws when it is not. */
export async function checkHostPath({ path, type = '' }: NonNullable<Volume['hostPath']>): Promise<void> {
  if (type === '') return;
  const found = await stat(path).catch(() => undefined);
  if (!found && type === 'DirectoryOrCreate') {
    await mkdir(path, { recursive: true, mode: 0o755 });
  } else if (!found && type === 'FileOrCreate') {
    await (await open(path, 'a', 0o644)).close();
  } else {
    const is = {
      DirectoryOrCreate: found?.isDirectory(),
      Directory: found?.isDirectory(),
      FileOrCreate: found?.isFile(),
      File: found?.isFile(),
      Socket: found?.isSocket(),
      CharDevice: found?.isCharacterDevice(),
      BlockDevice: found?.isBlockDevice(),
    }[type];
    if (!is) throw new Error(`hostPath type check failed: ${path} is not a ${type}`);
  }
}
