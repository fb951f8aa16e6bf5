import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type PreparedImages, SANDBOX_IMAGE } from '../images/index.ts';
import { containerdCommand } from './command.ts';
import { containerdConfig } from './config.ts';
import { prepareContainerdRoot, removeContainerdRoot } from './root.ts';

const run = promisify(execFile);

/** A containerd as a node has it, in a mount namespace of its own, so that its mounts end with it. */
export class TestContainerd implements AsyncDisposable {
  readonly folder: string;
  readonly #process: ChildProcess;

  private constructor(folder: string, process: ChildProcess) {
    this.folder = folder;
    this.#process = process;
  }

  /** Starts one on a root made of prepared images, or on that of an earlier one. */
  static async start(prepared: PreparedImages, folder?: string): Promise<TestContainerd> {
    // Containers' layers cannot be on an overlay nor, in some places, on what /tmp is.
    const home = folder ?? (await mkdtemp(`/var/tmp/${process.env.ENID_TEST_RUN ?? 'enid'}-containerd-`));
    const root = join(home, 'root');
    await prepareContainerdRoot({ prepared, root });
    const config = containerdConfig({
      root,
      state: join(home, 'state'),
      socket: join(home, 'socket'),
      sandboxImage: SANDBOX_IMAGE,
      cniBin: join(home, 'cni/bin'),
      cniConf: join(home, 'cni/net.d'),
    });
    await writeFile(join(home, 'config.toml'), config);
    const { command, env } = containerdCommand(join(home, 'config.toml'));
    const child = spawn(
      'setpriv',
      ['--pdeathsig=KILL', 'unshare', '--mount', '--propagation=private', ...command],
      {
        stdio: ['ignore', 'ignore', process.env.ENID_DEBUG ? 'inherit' : 'ignore'],
        env: { ...process.env, ...env },
      },
    );
    const containerd = new TestContainerd(home, child);
    const deadline = Date.now() + 10_000;
    while (!(await containerd.ctr('version').catch(() => undefined))) {
      if (Date.now() > deadline || child.exitCode !== null) throw new Error('containerd does not start');
      await sleep(30);
    }
    return containerd;
  }

  get pid(): number {
    return this.#process.pid!;
  }

  get root(): string {
    return join(this.folder, 'root');
  }

  /** Calls ctr in the namespace of CRI's. @returns what it printed. */
  async ctr(...args: string[]): Promise<string> {
    const { stdout } = await run('ctr', ['-a', join(this.folder, 'socket'), '-n', 'k8s.io', ...args]);
    return stdout;
  }

  /** Runs a command in a container of an image, to its end. @returns what it printed. */
  async inContainer(image: string, ...command: string[]): Promise<string> {
    const id = `test-${process.pid}-${TestContainerd.#count++}`;
    return await this.ctr('run', '--rm', '--privileged', image, id, ...command);
  }
  static #count = 0;

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGTERM');
    await once(this.#process, 'exit');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await removeContainerdRoot(this.root);
    await rm(this.folder, { recursive: true, force: true });
  }
}
