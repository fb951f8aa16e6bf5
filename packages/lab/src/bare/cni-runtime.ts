import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { NetNamespace } from '@enid/linux';
import { collect, type Output } from '../base/output.ts';

/** A chain of plugins as a `.conflist` file holds it. */
type NetworkList = {
  cniVersion: string;
  name: string;
  plugins: ({ type: string } & Record<string, unknown>)[];
};

/** What a plugin answers to ADD, as far as a runtime looks at it. */
export type CniResult = {
  readonly cniVersion: string;
  readonly interfaces?: readonly { name: string; mac?: string; sandbox?: string }[];
  readonly ips?: readonly { address: string; interface?: number; gateway?: string }[];
  readonly [key: string]: unknown;
};

/** An error that a plugin answered with; `code` is the specification's. */
export class CniError extends Error {
  override readonly name = 'CniError';
  readonly code: number;
  readonly details: string;

  constructor(answer: { code?: number; msg?: string; details?: string }) {
    super([answer.msg, answer.details].filter(Boolean).join(': '));
    this.code = answer.code ?? 999;
    this.details = answer.details ?? '';
  }
}

/** One attachment of a sandbox to the network. */
export type Attachment = {
  readonly containerId: string;
  /** Path of the sandbox's network namespace. */
  readonly netns: string;
  readonly ifName: string;
  /** CNI_ARGS. */
  readonly args: Readonly<Record<string, string>>;
};

export type CniRuntimeOptions = {
  /** Folders that hold the plugins' executables. */
  readonly binPath: readonly string[];
  /** Folder that holds the network configurations; the first in order of names is used, as by containerd. */
  readonly confDir: string;
  /** Environment of the plugins beside the CNI variables. */
  readonly env: NodeJS.ProcessEnv;
  /** Name of the network namespace that the runtime lives in: its node's. */
  readonly namespace: string;
};

/**
 * Calls CNI plugins as a container runtime does: a list one after another on ADD, each with the result of the one
 * before, and backwards on DEL (CNI specification 1.1.0, section 3).
 */
export class CniRuntime {
  readonly #options: CniRuntimeOptions;

  constructor(options: CniRuntimeOptions) {
    this.#options = options;
  }

  /** @throws {CniError} of the plugin that failed; what was attached by then is taken down again. */
  async add(attachment: Attachment): Promise<CniResult> {
    const list = this.#networkList();
    let prevResult: CniResult | undefined;
    try {
      for (const plugin of list.plugins) {
        prevResult = JSON.parse(await this.#invoke('ADD', list, plugin, attachment, prevResult)) as CniResult;
      }
    } catch (error) {
      await this.del(attachment).catch(() => {}); // The first error is the one that tells.
      throw error;
    }
    return prevResult!;
  }

  /** Idempotent. @throws {CniError} */
  async del(attachment: Attachment, prevResult?: CniResult): Promise<void> {
    const list = this.#networkList();
    for (const plugin of list.plugins.toReversed())
      await this.#invoke('DEL', list, plugin, attachment, prevResult);
  }

  /** @throws {CniError} when the attachment is not what `prevResult` says. */
  async check(attachment: Attachment, prevResult: CniResult): Promise<void> {
    const list = this.#networkList();
    for (const plugin of list.plugins) await this.#invoke('CHECK', list, plugin, attachment, prevResult);
  }

  /** Whether the network is ready for pods. @returns undefined when it is, else why not. */
  async status(): Promise<string | undefined> {
    try {
      // STATUS came with 1.1.0, whatever version the list itself is in.
      const list = { ...this.#networkList(), cniVersion: '1.1.0' };
      await this.#invoke('STATUS', list, list.plugins[0]!);
      return undefined;
    } catch (error) {
      if (error instanceof CniError) return error.message;
      throw error;
    }
  }

  #networkList(): NetworkList {
    const { confDir } = this.#options;
    const file = readdirSync(confDir)
      .sort()
      .find((name) => name.endsWith('.conflist'));
    if (!file) {
      throw new CniError({
        msg: `no network is configured in ${confDir}`,
        details: 'the agent is not ready yet',
      });
    }
    return JSON.parse(readFileSync(join(confDir, file), 'utf8')) as NetworkList;
  }

  async #invoke(
    command: 'ADD' | 'DEL' | 'CHECK' | 'STATUS',
    list: NetworkList,
    plugin: { type: string } & Record<string, unknown>,
    attachment?: Attachment,
    prevResult?: CniResult,
  ): Promise<string> {
    const { capabilities: _, ...config } = plugin;
    const { status, stdout, stderr } = await this.#run(this.#executable(plugin.type), {
      env: {
        ...this.#options.env,
        CNI_COMMAND: command,
        ...(attachment && variablesOf(attachment)),
        CNI_PATH: this.#options.binPath.join(delimiter),
      },
      input: JSON.stringify({
        ...config,
        cniVersion: list.cniVersion,
        name: list.name,
        ...(prevResult && { prevResult }),
      }),
    });
    if (status === 0) return stdout;
    let answer: { code?: number; msg?: string; details?: string };
    try {
      answer = JSON.parse(stdout);
    } catch {
      answer = { msg: `${plugin.type} ended with status ${status}`, details: stderr.trim() || stdout.trim() };
    }
    throw new CniError(answer);
  }

  async #run(file: string, { env, input }: { env: NodeJS.ProcessEnv; input: string }): Promise<Output> {
    using namespace = NetNamespace.named(this.#options.namespace);
    const child = namespace.run(() => spawn(file, { env, stdio: ['pipe', 'pipe', 'pipe'] }));
    child.stdin.on('error', () => {}); // It may answer without reading all of its input.
    child.stdin.end(input);
    return await collect(child);
  }

  #executable(type: string): string {
    for (const folder of this.#options.binPath) {
      if (readdirSync(folder).includes(type)) return join(folder, type);
    }
    throw new CniError({
      msg: `plugin ${type} is in none of ${this.#options.binPath.join(', ')}`,
      details: 'install it, or take it out of the network configuration',
    });
  }
}

function variablesOf({ containerId, netns, ifName, args }: Attachment): NodeJS.ProcessEnv {
  return {
    CNI_CONTAINERID: containerId,
    CNI_NETNS: netns,
    CNI_IFNAME: ifName,
    CNI_ARGS: Object.entries(args)
      .map(([key, value]) => `${key}=${value}`)
      .join(';'),
  };
}
