import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { extract } from 'tar-stream';
import type { FileTree } from './file-tree.ts';

const run = promisify(execFile);

/** What only the scripts of packages call, and none of those runs when an image is composed. */
const FOR_SCRIPTS =
  /^(adduser|debconf|debianutils|dpkg|file|gcc-\d+-base|init-system-helpers|install-info|libaudit.*|libdebconfclient0|libfile-find-rule-perl|libgdbm.*|libnumber-compare-perl|libpam.*|libperl.*|libsemanage.*|libsepol.*|libtext-glob-perl|passwd|perl.*|tar|usrmerge)$/;

/** What nobody reads in a container. */
const UNREAD =
  /^(etc\/(init\.d|logrotate\.d|ufw)|usr\/lib\/systemd|usr\/share\/(apport|bash-completion|bug|common-licenses|doc|doc-base|info|lintian|locale|man|menu|perl5))(\/|$)/;

/** Folders at the root that Debian has merged into /usr, while packages still name them. */
const MERGED = /^(bin|sbin|lib|lib32|lib64|libx32)(?=\/)/;

/** A package file of Debian's, downloaded. */
export type DebianPackage = { readonly name: string; readonly file: string };

/**
 * Downloads packages with all that they depend on, as apt would install them on a machine that has nothing. Nothing is
 * installed here. They are deleted with the folder that they are in.
 * @throws when apt fails, with its words.
 */
export async function downloadPackages(names: readonly string[]): Promise<DownloadedPackages> {
  const folder = await mkdtemp(join(tmpdir(), 'enid-debian-'));
  const downloaded = new DownloadedPackages(folder);
  try {
    await mkdir(join(folder, 'partial'));
    await writeFile(join(folder, 'status'), '');
    try {
      await aptInstall(folder, names);
    } catch {
      // Most often the lists are older than the archive, or were never fetched.
      await run('apt-get', ['update', '-q']);
      await aptInstall(folder, names);
    }
    await downloaded.read(names);
    return downloaded;
  } catch (error) {
    await downloaded[Symbol.asyncDispose]();
    throw new Error(
      `Debian packages for container images cannot be downloaded (${names.join(' ')}): ${(error as Error).message}`,
    );
  }
}

async function aptInstall(folder: string, names: readonly string[]): Promise<void> {
  const options = {
    'Dir::State::status': join(folder, 'status'),
    'Dir::State::extended_states': join(folder, 'extended_states'),
    'Dir::Cache::archives': folder,
    'Dir::Cache::pkgcache': '',
    'Dir::Cache::srcpkgcache': '',
    'APT::Install-Recommends': 'false',
    'APT::Sandbox::User': 'root',
    // It changes nothing that the lock of the machine's own packages guards.
    'Debug::NoLocking': 'true',
  };
  const flags = Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  await run('apt-get', [...flags, 'install', '-qq', '--yes', '--download-only', ...names], {
    env: { ...process.env, LC_ALL: 'C' },
  });
}

/** A folder of downloaded packages. */
export class DownloadedPackages implements AsyncDisposable {
  readonly #folder: string;
  #packages: readonly DebianPackage[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** What an image needs of them, sorted by name. */
  get packages(): readonly DebianPackage[] {
    return this.#packages;
  }

  /** @param wanted packages that are needed whatever they are. */
  async read(wanted: readonly string[]): Promise<void> {
    const files = (await readdir(this.#folder)).filter((name) => name.endsWith('.deb')).sort();
    this.#packages = files
      .map((file) => ({ name: file.slice(0, file.indexOf('_')), file: join(this.#folder, file) }))
      .filter(({ name }) => wanted.includes(name) || !FOR_SCRIPTS.test(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Puts a package's files into a tree, where Debian's merged /usr has them. */
export async function unpackPackage({ name, file }: DebianPackage, tree: FileTree): Promise<void> {
  const child = spawn('dpkg-deb', ['--fsys-tarfile', file], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  for await (const entry of child.stdout.pipe(extract())) {
    const { header } = entry;
    const path = inMergedUsr(header.name);
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    if (path === '' || isMergedFolder(path) || UNREAD.test(path)) continue;
    if (header.type === 'link') tree.alias(path, inMergedUsr(header.linkname!));
    else tree.archived(path, header, Buffer.concat(chunks));
  }
  const [status] = await ended;
  if (status !== 0) throw new Error(`package ${name} cannot be unpacked: dpkg-deb ended with ${status}`);
}

function inMergedUsr(path: string): string {
  return path
    .replace(/^\.?\//, '')
    .replace(/\/$/, '')
    .replace(MERGED, 'usr/$1');
}

function isMergedFolder(path: string): boolean {
  return MERGED.test(`${path}/`);
}
