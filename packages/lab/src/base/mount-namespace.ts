/** Mount namespaces that are kept by files (namespaces(7)), with the caller's root directory as their root. */
import { execFile, execFileSync } from 'node:child_process';
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Makes a mount namespace, and others beside it. Mounts of the caller's go on to reach it, its own reach nobody.
 * @param file keeps it, on a file system that is mounted privately.
 * @param beside more namespaces, as unshare(1) names them, by file.
 */
export async function createMountNamespace(
  file: string,
  beside: Readonly<Record<string, string>> = {},
): Promise<void> {
  for (const kept of [file, ...Object.values(beside)]) writeFileSync(kept, '', { mode: 0o600 });
  await unshare(file, beside);
  const root = rootInNamespace();
  if (root === '/') return;
  // The caller is in a chroot(2). Whoever enters the namespace would find itself outside of that, and so would what
  // enters a container in it: so the directory becomes the root of the namespace itself (pivot_root(2)).
  const inside = (...command: string[]) => run('nsenter', [`--mount=${file}`, '--', ...command]);
  await inside('mount', '--rbind', root, root);
  await inside('env', '-C', root, 'pivot_root', '.', '.');
  await inside('umount', '--lazy', '/');
}

/** Takes files away that keep namespaces, also when they keep none any more. */
export async function removeNamespaces(files: readonly string[]): Promise<void> {
  for (const file of files) await run('umount', ['--lazy', file]).catch(() => {});
}

/**
 * Some kernels (6.18 among them) number namespaces from a counter of each CPU, and refuse to mount a mount namespace
 * whose number is not above that of the caller's. On the CPU that numbered the caller's namespace it always is.
 */
async function unshare(file: string, beside: Readonly<Record<string, string>>): Promise<void> {
  const kinds = Object.entries(beside).map(([kind, kept]) => `--${kind}=${kept}`);
  const refusals: unknown[] = [];
  for (const cpu of cpus().keys()) {
    const command = ['unshare', `--mount=${file}`, ...kinds, '--propagation=slave', 'true'];
    try {
      await run('taskset', ['--cpu-list', `${cpu}`, ...command]);
      return;
    } catch (refusal) {
      refusals.push(refusal);
      await removeNamespaces(Object.values(beside));
    }
  }
  throw new AggregateError(refusals, `no mount namespace for ${file}: ${refusals.at(-1)}`);
}

/** This process's root directory as it is seen from the root of its mount namespace. */
function rootInNamespace(): string {
  const root = openSync('/', 'r');
  try {
    return execFileSync('nsenter', ['--mount=/proc/self/ns/mnt', '--', 'readlink', '/proc/self/fd/3'], {
      stdio: ['ignore', 'pipe', 'inherit', root],
      encoding: 'utf8',
    }).trimEnd();
  } finally {
    closeSync(root);
  }
}
