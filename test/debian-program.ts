/** Programs of Debian's that tests compare with: unpacked beside whatever the machine has, never installed. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const CACHE = '/var/cache/enid';

/**
 * A program of a Debian package, downloaded when it is first asked for.
 * @param folder name of the folder, in the cache, that holds it.
 * @param path where the program is in the package.
 * @returns where it is on this machine.
 */
export async function debianProgram(debianPackage: string, folder: string, path: string): Promise<string> {
  const home = join(CACHE, folder);
  const program = join(home, path);
  if (existsSync(program)) return program;
  mkdirSync(CACHE, { recursive: true });
  const scratch = mkdtempSync(join(CACHE, `${folder}-`));
  try {
    const download = () => run('apt-get', ['download', '-q', debianPackage], { cwd: scratch });
    // The lists of what Debian has may be missing, or older than the archive.
    await download().catch(async () => {
      await run('apt-get', ['update', '-q']);
      await download();
    });
    const [archive] = readdirSync(scratch);
    await run('dpkg', ['-x', join(scratch, archive!), join(scratch, 'root')]);
    try {
      renameSync(join(scratch, 'root'), home);
    } catch (error) {
      if (!existsSync(program)) throw error; // Else another test was first.
    }
    return program;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
