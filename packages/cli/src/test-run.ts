import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { cgroupsNamed, NetNamespace, removeCgroup } from '@enid/linux';

const run = promisify(execFile);

/** Where test files have folders that cannot be in {@link tmpdir}: in memory, or on a disk. */
const ELSEWHERE = ['/dev/shm', '/var/tmp'];

/**
 * A run of the tests, and what it has on the machine. All of that is told by its name: the run's, which its processes
 * have in their environment and its folders in their paths, or the id of a test file's process, which that one's
 * namespaces and control groups have in theirs.
 */
export class TestRun {
  readonly #folder = mkdtempSync(join(tmpdir(), 'enid-test-'));
  readonly #name = basename(this.#folder);

  /** What test files are to have in their environment. */
  get environment(): Record<string, string> {
    return { TMPDIR: this.#folder, ENID_TEST_RUN: this.#name };
  }

  /** After tests that came to their end: what one has left is there to be looked at. */
  end(): void {
    rmSync(this.#ids, { force: true });
    try {
      rmdirSync(this.#folder);
    } catch {
      console.error(`tests have left files in ${this.#folder}`);
    }
  }

  /** After tests that were interrupted: nothing of them stays. */
  async takeAway(): Promise<void> {
    const { Lab, LabProcesses } = await import('@enid/lab');
    const commands = this.#processes().map(({ command }) => command);
    const labs = Lab.list().filter((lab) =>
      commands.some((text) => text.includes(`/run/enid/${lab}/`) || text.includes(`--name ${lab} `)),
    );
    for (let some = this.#processes(); some.length > 0; some = this.#processes()) {
      for (const { pid } of some) end(pid);
      await sleep(5);
    }
    for (const lab of labs) await Lab.down(lab);
    for (const id of read(this.#ids).split('\n').filter(Boolean)) {
      const named = new RegExp(`(^|\\D)${id}(\\D|$)`);
      for (const group of cgroupsNamed('/', id).filter((path) => named.test(basename(path)))) {
        await LabProcesses.endInCgroup(group);
        removeCgroup(group);
      }
      const namespaces = NetNamespace.list().filter((name) => named.test(name));
      await LabProcesses.endInNamespaces(namespaces);
      for (const name of namespaces) NetNamespace.delete(name);
    }
    await this.#unmount();
    for (const folder of [this.#folder, ...ELSEWHERE.flatMap((place) => this.#foldersIn(place))])
      rmSync(folder, { recursive: true });
  }

  /** Where each test file's process has written its id. */
  get #ids(): string {
    return join(this.#folder, 'processes');
  }

  #processes(): { pid: number; command: string }[] {
    return readdirSync('/proc')
      .filter((entry) => read(`/proc/${entry}/environ`).split('\0').includes(`ENID_TEST_RUN=${this.#name}`))
      .map((entry) => ({
        pid: Number(entry),
        command: `${read(`/proc/${entry}/cmdline`)}\0`.replaceAll('\0', ' '),
      }));
  }

  #foldersIn(place: string): string[] {
    return readdirSync(place).flatMap((entry) => (entry.startsWith(this.#name) ? join(place, entry) : []));
  }

  /** Before files are removed: what is mounted there is not the tests'. */
  async #unmount(): Promise<void> {
    const mounts = read('/proc/self/mountinfo')
      .split('\n')
      .map((line) => line.split(' ')[4] ?? '')
      .filter((path) => path.includes(`/${this.#name}`));
    for (const path of mounts.reverse()) await run('umount', ['--lazy', path]);
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // It ended meanwhile.
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended meanwhile.
  }
}
