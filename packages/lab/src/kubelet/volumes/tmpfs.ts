/** File systems in memory, for volumes. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Paths below a directory at which something is mounted, innermost first. */
export async function mountsBelow(directory: string): Promise<string[]> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  return mounts
    .split('\n')
    .map((line) =>
      (line.split(' ')[4] ?? '').replaceAll(/\\(\d{3})/g, (_, code) =>
        String.fromCharCode(Number.parseInt(code, 8)),
      ),
    )
    .filter((path) => path === directory || path.startsWith(`${directory}/`))
    .reverse();
}

/** @param size in bytes; half of the memory when undefined. */
export async function mountTmpfs(directory: string, size: number | undefined): Promise<void> {
  const options = `mode=0777,nodev${size === undefined ? '' : `,size=${size}`}`;
  await run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory]);
}

export async function unmount(path: string): Promise<void> {
  await run('umount', [path]);
}
