import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const LABS = '/run/enid';

/** A name that is no lab name. */
export class LabNameError extends Error {
  override readonly name = 'LabNameError';
}

/**
 * Where one lab keeps what it must find again: `/run/enid/<lab>`, in memory as a node's own /run is, and gone with
 * the machine's boot as the namespaces are. Everything in the kernel that belongs to the lab carries its
 * {@link prefix}.
 */
export class LabDirectory {
  readonly lab: string;
  readonly path: string;
  /** What the names of the lab's network namespaces start with, before a dash. No other lab's start like it. */
  readonly prefix: string;

  /** @throws {LabNameError} unless the name is 1 to 20 lower-case letters and digits, a letter first. */
  constructor(lab: string) {
    if (!/^[a-z][a-z0-9]{0,19}$/.test(lab)) {
      throw new LabNameError(
        `"${lab}" cannot name a lab: use up to 20 lower-case letters and digits, a letter first`,
      );
    }
    this.lab = lab;
    this.path = join(LABS, lab);
    this.prefix = `enid-${lab}`;
  }

  /** The labs that have a directory on this machine. */
  static list(): string[] {
    try {
      return readdirSync(LABS);
    } catch {
      return [];
    }
  }

  /** Where what serves as load balancers keeps its files. */
  get loadBalancers(): string {
    return this.file('load-balancers');
  }

  /** A path inside the directory. */
  file(...parts: string[]): string {
    return join(this.path, ...parts);
  }

  /** Makes the directory, for root alone. @returns false when it is there already. */
  create(): boolean {
    mkdirSync(LABS, { recursive: true, mode: 0o700 });
    try {
      mkdirSync(this.path, { mode: 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    }
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=0700,nosuid,nodev', this.prefix, this.path]);
    // Files that keep a mount namespace can be mounted on nothing else.
    execFileSync('mount', ['--make-private', this.path]);
    return true;
  }

  /** Idempotent. */
  remove(): void {
    // Lazily: somebody may be looking at a log in it.
    if (this.#isMounted()) execFileSync('umount', ['--lazy', this.path]);
    rmSync(this.path, { recursive: true, force: true });
  }

  #isMounted(): boolean {
    return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${this.path} `);
  }

  /** Writes a record that a reader sees whole or not at all. */
  write(record: unknown, ...parts: string[]): void {
    this.writeText(JSON.stringify(record, null, 2), ...parts);
  }

  /** The same with a text. */
  writeText(text: string, ...parts: string[]): void {
    const path = this.file(...parts);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  /** A record that {@link write} wrote, or undefined. */
  read<T>(...parts: string[]): T | undefined {
    try {
      return JSON.parse(readFileSync(this.file(...parts), 'utf8')) as T;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** What is in one folder of the directory. */
  entries(name: string): string[] {
    try {
      return readdirSync(this.file(name));
    } catch {
      return [];
    }
  }

  /** Every record of one folder of the directory. */
  readAll<T>(folder: string): T[] {
    return this.entries(folder)
      .filter((name) => name.endsWith('.json'))
      .map((name) => this.read<T>(folder, name)!);
  }

  delete(...parts: string[]): void {
    rmSync(this.file(...parts), { force: true });
  }
}
