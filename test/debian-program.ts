/** Programs of Debian's that tests compare with: unpacked beside whatever the machine has, never installed. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const CACHE = '/var/cache/enid';

/** Where Debian is, when this machine does not say. */
const MIRROR = 'http://deb.debian.org/debian/';
/** The keys of all its releases (package debian-archive-keyring). */
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * A program of a Debian package, downloaded when it is first asked for.
 * @param folder name of the folder, in the cache, that holds it.
 * @param path where the program is in the package.
 * @param release by its code name; the machine's own by default.
 * @returns where it is on this machine.
 */
export async function debianProgram(
  debianPackage: string,
  folder: string,
  path: string,
  release?: string,
): Promise<string> {
  const home = join(CACHE, folder);
  const program = join(home, path);
  if (existsSync(program)) return program;
  mkdirSync(CACHE, { recursive: true });
  const scratch = mkdtempSync(join(CACHE, `${folder}-`));
  try {
    const options = release === undefined ? [] : await optionsOf(release, scratch);
    const download = () => run('apt-get', [...options, 'download', '-q', debianPackage], { cwd: scratch });
    // The lists of what Debian has may be missing, or older than the archive.
    await download().catch(async () => {
      await run('apt-get', [...options, 'update', '-q']);
      await download();
    });
    const archive = readdirSync(scratch).find((name) => name.endsWith('.deb'));
    if (archive === undefined) throw new Error(`apt-get has downloaded no package ${debianPackage}`);
    await run('dpkg', ['-x', join(scratch, archive), join(scratch, 'root')]);
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

/** Lets apt see a release alone, from where the machine has its own, with lists in a folder; the machine's lists stay as they are. */
async function optionsOf(release: string, folder: string): Promise<string[]> {
  const lists = join(folder, 'lists');
  const sources = join(folder, 'sources.list');
  mkdirSync(join(lists, 'partial'), { recursive: true });
  const which = ['Created-By: Packages', 'Label: Debian', 'Component: main'];
  const mirrorOf = async () => {
    const { stdout } = await run('apt-get', ['indextargets', '--format', '$(REPO_URI)', ...which]);
    return stdout.split('\n')[0];
  };
  let mirror = await mirrorOf();
  if (!mirror) {
    await run('apt-get', ['update', '-q']);
    mirror = await mirrorOf();
  }
  const keys = existsSync(KEYRING) ? `[signed-by=${KEYRING}] ` : '';
  writeFileSync(sources, `deb ${keys}${mirror || MIRROR} ${release} main\n`);
  const settings = {
    'Dir::Etc::SourceList': sources,
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::State::Lists': lists,
    // Nor what is installed, which may be newer.
    'Dir::State::status': '/dev/null',
    'Dir::Cache::pkgcache': '',
    'Dir::Cache::srcpkgcache': '',
  };
  return Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
}
