import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { cgroupsNamed, NetNamespace, removeCgroup } from '@enid/linux';

const run = promisify(execFile);

/** Where test files have folders that cannot be in {@link tmpdir}: in memory, or on a disk. */
const ELSEWHERE = ['/dev/shm', '/var/tmp'];

/** What is in the command line of Enid's commands. */
const COMMAND = '/packages/cli/src/main.ts';
/** How long commands may take to clean up before they are killed, in milliseconds. */
const PATIENCE = 15_000;

/**
 * A run of the tests, and what it has on the machine. All of that is told by names: the run's, which its processes have in
 * their environment and its folders in their paths; the id of a test file's process, which that one's namespaces and control
 * groups have in theirs; and those of labs.
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
    for (const file of ['processes', 'labs']) rmSync(join(this.#folder, file), { force: true });
    try {
      rmdirSync(this.#folder);
    } catch {
      console.error(`tests have left files in ${this.#folder}`);
    }
  }

  /** After tests that were interrupted: nothing of them stays. */
  async takeAway(): Promise<void> {
    const { Lab, LabProcesses } = await import('@enid/lab');
    // Commands that make a lab for themselves take it away when they are told to end.
    const commands = () => this.#processes().filter((pid) => read(`/proc/${pid}/cmdline`).includes(COMMAND));
    for (const pid of commands()) send('SIGTERM', pid);
    for (const until = Date.now() + PATIENCE; commands().length > 0 && Date.now() < until; ) await sleep(20);
    for (let left = this.#processes(); left.length > 0; left = this.#processes()) {
      for (const pid of left) send('SIGKILL', pid);
      await sleep(20);
    }
    for (const lab of this.#lines('labs')) await Lab.down(lab);
    for (const id of this.#lines('processes')) {
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
    for (const folder of [
      this.#folder,
      ...ELSEWHERE.filter(existsSync).flatMap((place) => this.#foldersIn(place)),
    ])
      rmSync(folder, { recursive: true });
  }

  /** What test files have written: the ids of their processes, or the names of their labs. */
  #lines(file: 'processes' | 'labs'): Set<string> {
    return new Set(read(join(this.#folder, file)).split('\n').filter(Boolean));
  }

  /** Their ids. */
  #processes(): number[] {
    return readdirSync('/proc')
      .filter((entry) => read(`/proc/${entry}/environ`).split('\0').includes(`ENID_TEST_RUN=${this.#name}`))
      .map(Number);
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

function send(signal: NodeJS.Signals, pid: number): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended meanwhile.
  }
}
