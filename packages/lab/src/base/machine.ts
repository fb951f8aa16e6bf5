import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { createMountNamespace, removeNamespaces } from './mount-namespace.ts';

const run = promisify(execFile);

/** Folders of the host's that a node sees as they are and writes to for itself alone. */
const LAYERED = ['/etc', '/opt', '/var'] as const;

/** What is put into a machine before anything runs in it, and where its files are. */
export type MachineOptions = {
  /** Name of its network namespace. */
  readonly network: string;
  /** Folder for what it writes, on a file system that overlayfs can write to. */
  readonly folder: string;
};

/** What a machine is made with. */
export type MachineContents = {
  /** As `hostname` prints it inside. */
  readonly hostName: string;
  /** To be made inside, beside /run/netns. */
  readonly folders?: readonly string[];
  /** Texts of files below a layered folder, by path. */
  readonly files?: Readonly<Record<string, string>>;
  /** Folders of the host that are seen inside, by where. */
  readonly binds?: Readonly<Record<string, string>>;
};

/**
 * A node as a machine of its own: the network namespace of its EC2 instance, and a mount namespace and a host name
 * beside it. It has the host's programs, while what it writes below /etc, /opt, /var and /run is its own, so that what
 * runs in it uses the paths that it uses on any node: /etc/cni/net.d, /opt/cni/bin, /var/lib/kubelet, /run/netns.
 *
 * The namespaces are kept by files (namespaces(7)), so they need no process; when the files are unmounted and the
 * processes have ended, every mount in them is gone as well.
 */
export class Machine {
  readonly #options: MachineOptions;

  constructor(options: MachineOptions) {
    this.#options = options;
  }

  /** Makes the namespaces and mounts what is the machine's own. */
  async create({ hostName, folders = [], files = {}, binds = {} }: MachineContents): Promise<void> {
    mkdirSync(this.#options.folder, { recursive: true, mode: 0o700 });
    await createMountNamespace(this.#mounts, { uts: this.#uts });
    // Put below before it is covered: what is written to a layer that is mounted may be seen or not.
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(this.#upper(path)), { recursive: true });
      writeFileSync(this.#upper(path), text, { mode: 0o644 });
    }
    for (const target of LAYERED) {
      const [upper, work] = ['upper', 'work'].map((kind) => `${this.#options.folder}/${kind}${target}`);
      for (const path of [upper!, work!]) mkdirSync(path, { recursive: true });
      await this.#inside(
        'mount',
        '-t',
        'overlay',
        '-o',
        `lowerdir=${target},upperdir=${upper},workdir=${work}`,
        'node',
        target,
      );
    }
    // Before /run is covered, which they may come from.
    for (const [target, source] of Object.entries(binds)) {
      await this.#inside('mkdir', '-p', target);
      await this.#inside('mount', '--bind', source, target);
    }
    await this.#inside('mount', '-t', 'tmpfs', '-o', 'mode=0755,nosuid,nodev', 'node', '/run');
    await this.#inside('mkdir', '-p', '/run/netns', ...folders);
    // What is pinned there is the machine's own, and goes with it.
    await this.#inside('mount', '-t', 'bpf', '-o', 'mode=0700', 'bpf', '/sys/fs/bpf');
    // As an init makes it: containers may ask to see what is mounted later. Nothing of it reaches the host.
    await this.#inside('mount', '--make-rshared', '/');
    await this.#inside('hostname', hostName);
  }

  /** What is in a folder that the machine has written to itself, seen from outside. @param folder below a layered one. */
  list(folder: string): string[] {
    try {
      return readdirSync(this.#upper(folder));
    } catch {
      return [];
    }
  }

  /** A command as it is to be called from the host, to run inside. */
  command(command: readonly [string, ...string[]]): [string, ...string[]] {
    return [
      'nsenter',
      `--mount=${this.#mounts}`,
      `--uts=${this.#uts}`,
      `--net=/run/netns/${this.#options.network}`,
      '--',
      ...command,
    ];
  }

  /** Takes its namespaces and files away, also when it was not finished. What runs in it is the caller's to end before. */
  async remove(): Promise<void> {
    await removeNamespaces([this.#mounts, this.#uts]);
    await rm(this.#options.folder, { recursive: true, force: true });
  }

  async #inside(...command: [string, ...string[]]): Promise<void> {
    const [file, ...args] = this.command(command);
    await run(file, args);
  }

  /** Where the machine's own is of what is below a layered folder. */
  #upper(path: string): string {
    return `${this.#options.folder}/upper${path}`;
  }

  get #mounts(): string {
    return `${this.#options.folder}/mounts`;
  }

  get #uts(): string {
    return `${this.#options.folder}/uts`;
  }
}
