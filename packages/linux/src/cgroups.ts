/** Control groups by path, in every hierarchy that the machine has, of either version (cgroups(7)). */
import { readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';

/** Where the machine's hierarchies are mounted. */
function hierarchies(): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return [
    ...new Set(
      mounts.flatMap((line) => {
        const [mount = '', rest = ''] = line.split(' - ');
        return /^cgroup2? /.test(rest) ? [mount.split(' ')[4]!] : [];
      }),
    ),
  ];
}

/** A group and all below it, the deepest first. */
function* tree(path: string): Generator<string> {
  let entries: string[];
  try {
    entries = readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? entry.name : [],
    );
  } catch {
    return;
  }
  for (const name of entries) yield* tree(join(path, name));
  yield path;
}

/**
 * The processes in a group and below it.
 * @param group its path from the root of a hierarchy, such as `/system.slice`.
 */
export function processesInCgroup(group: string): number[] {
  const pids = new Set<number>();
  for (const root of hierarchies()) {
    for (const path of tree(join(root, group))) {
      for (const line of read(join(path, 'cgroup.procs')).split('\n')) if (line) pids.add(Number(line));
    }
  }
  return [...pids];
}

/**
 * The groups below a group whose path holds a text.
 * @returns their paths from the root, each once.
 */
export function cgroupsNamed(group: string, text: string): string[] {
  const names = hierarchies().flatMap((root) =>
    [...tree(join(root, group))].filter((path) => path.includes(text)).map((path) => path.slice(root.length)),
  );
  return [...new Set(names)];
}

/** Takes a group and all below it away. Those that processes are in stay. */
export function removeCgroup(group: string): void {
  for (const root of hierarchies()) {
    for (const path of tree(join(root, group))) {
      try {
        rmdirSync(path);
      } catch {
        // Gone meanwhile, or not empty.
      }
    }
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
