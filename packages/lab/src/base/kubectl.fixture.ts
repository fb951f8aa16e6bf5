/** The kubectls that tests are run with: the machine's own, where it has one, and Debian's (1.20), as old as can be met. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
/** Debian's is unpacked here, beside whatever the machine has: it is never installed. */
const CACHE = '/var/cache/enid';

export function installedKubectl(): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'kubectl'))
    .find(existsSync);
}

export async function debianKubectl(): Promise<string> {
  const folder = join(CACHE, 'kubectl');
  const path = join(folder, 'usr/bin/kubectl');
  if (existsSync(path)) return path;
  mkdirSync(CACHE, { recursive: true });
  const scratch = mkdtempSync(join(CACHE, 'kubectl-'));
  try {
    const download = () => run('apt-get', ['download', '-q', 'kubernetes-client'], { cwd: scratch });
    // The lists of what Debian has may be missing, or older than the archive.
    await download().catch(async () => {
      await run('apt-get', ['update', '-q']);
      await download();
    });
    const [archive] = readdirSync(scratch);
    await run('dpkg', ['-x', join(scratch, archive!), join(scratch, 'root')]);
    try {
      renameSync(join(scratch, 'root'), folder);
    } catch (error) {
      if (!existsSync(path)) throw error; // Else another test was first.
    }
    return path;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
