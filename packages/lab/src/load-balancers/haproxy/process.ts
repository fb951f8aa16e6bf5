/** One HAProxy for each load balancer: started, replaced without losing a connection, found again. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { NetNamespace } from '@enid/linux';
import { collect } from '../../base/output.ts';
import { endProcesses, type ProcessRecord, processesWith } from '../../base/processes.ts';
import { type Configuration, HaproxyDirectory, textOf } from './configuration.ts';
import { RuntimeApi } from './runtime.ts';

/** How long after its end a process is started again, in milliseconds. */
const RESTART_DELAY = 500;

/** What a process does that this one knows. */
type InForce = {
  readonly configuration: Configuration;
  /** All of it but the servers. */
  readonly frame: string;
  readonly api: RuntimeApi;
  /** By backend, the servers that it has: those that are to get nothing too. */
  readonly servers: Map<string, Set<string>>;
};

/**
 * The HAProxy of one load balancer. The process is nobody's child, so that it outlives this one: a later one replaces it, and
 * takes its listening sockets over. What replaces has the same file in its arguments, by which all are found.
 */
export class Haproxy {
  readonly directory: HaproxyDirectory;
  readonly #namespace: string;
  #wanted: Configuration | undefined;
  #inForce: InForce | undefined;
  #turn: Promise<void> = Promise.resolve();
  #isLeft = false;

  /** @param namespace the name of the one that it runs in. @param path of a directory of its own. */
  constructor(namespace: string, path: string) {
    this.#namespace = namespace;
    this.directory = new HaproxyDirectory(path);
  }

  /**
   * Puts a configuration in force: none ends the process, and with it all connections. Resolves when new connections are
   * served so.
   * @throws with HAProxy's words when it refuses; what was in force is then still.
   */
  async apply(wanted: Configuration | undefined): Promise<void> {
    await this.#inTurn(async () => {
      if (wanted) await this.#become(wanted);
      else await this.#end();
      this.#wanted = wanted;
    });
  }

  /** Lets it run on. */
  leave(): void {
    this.#isLeft = true;
    this.#inForce?.api[Symbol.dispose]();
  }

  #inTurn(task: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(task);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #become(wanted: Configuration): Promise<void> {
    const now = this.#inForce;
    if (now?.frame !== this.#frameOf(wanted)) return await this.#replace(wanted);
    try {
      await changeServers(now, wanted);
      this.#inForce = { ...now, configuration: wanted };
    } catch {
      await this.#replace(wanted);
    }
  }

  #frameOf(configuration: Configuration): string {
    return textOf(configuration, this.directory, false);
  }

  async #replace(wanted: Configuration): Promise<void> {
    const { path, file, socket, certificates } = this.directory;
    mkdirSync(certificates, { recursive: true, mode: 0o700 });
    for (const [name, content] of wanted.files) writeFileSync(name, content, { mode: 0o600 });
    writeFileSync(file, textOf(wanted, this.directory), { mode: 0o600 });
    using ns = NetNamespace.named(this.#namespace);
    const running = processesOf(path);
    const old = running.filter((each) => isIn(ns, each));
    // What was left in a namespace that is gone serves nobody.
    await endProcesses(
      running.filter((each) => !old.includes(each)),
      'SIGKILL',
    );
    const api = old.length > 0 ? await RuntimeApi.connect(socket) : undefined;
    const takeOver = [
      ...(api ? ['-x', socket] : []),
      ...(old.length > 0 ? ['-sf', ...old.map(({ pid }) => String(pid))] : []),
    ];
    const args = ['-D', '-f', file, ...takeOver];
    const { status, stderr } = await collect(
      ns.run(() => spawn('haproxy', args, { stdio: 'pipe', cwd: '/' })),
    );
    if (status !== 0) {
      api?.[Symbol.dispose]();
      throw new Error(`HAProxy does not start: ${alertsOf(stderr)}`);
    }
    if (api) await stopping(api);
    api?.[Symbol.dispose]();
    const next = await RuntimeApi.connect(socket);
    if (!next) throw new Error(`HAProxy has ended as it began; its configuration is ${file}`);
    const before = this.#inForce;
    const servers = new Map(wanted.backends.map(({ name, servers }) => [name, new Set(servers)]));
    this.#inForce = { configuration: wanted, frame: this.#frameOf(wanted), api: next, servers };
    before?.api[Symbol.dispose]();
    this.#watch(next);
    for (const name of readdirSync(certificates)) {
      const each = join(certificates, name);
      if (!wanted.files.has(each)) rmSync(each);
    }
  }

  async #end(): Promise<void> {
    const { api } = this.#inForce ?? {};
    this.#inForce = undefined;
    api?.[Symbol.dispose]();
    if (!existsSync(this.directory.path)) return;
    await endHaproxies(this.directory.path);
    rmSync(this.directory.path, { recursive: true, force: true });
  }

  /** Starts it again when it ends by itself. */
  #watch(api: RuntimeApi): void {
    void api.closed.then(async () => {
      if (this.#inForce?.api !== api || this.#isLeft) return;
      this.#inForce = undefined;
      await sleep(RESTART_DELAY, undefined, { ref: false });
      await this.#inTurn(async () => {
        if (!this.#wanted || this.#inForce || this.#isLeft) return;
        await this.#replace(this.#wanted).catch(() => {});
      });
    });
  }
}

/** Ends all that run with files of a directory, those too that only finish what they have begun. */
export async function endHaproxies(directory: string): Promise<void> {
  await endProcesses(processesOf(directory), 'SIGKILL');
}

const processesOf = (directory: string): ProcessRecord[] => processesWith('haproxy', `${directory}/`);

function isIn(ns: NetNamespace, { pid }: ProcessRecord): boolean {
  try {
    return statSync(`/proc/${pid}/ns/net`, { bigint: true }).ino === ns.inode;
  } catch {
    return false;
  }
}

/** Sends to other servers from now on. What is under way to those that are left out goes on. */
async function changeServers({ api, configuration, servers }: InForce, wanted: Configuration): Promise<void> {
  for (const [index, { name, options, servers: next }] of wanted.backends.entries()) {
    const known = servers.get(name)!;
    const active = configuration.backends[index]!.servers;
    for (const server of next.filter((each) => !active.includes(each))) {
      const path = `${name}/${server}`;
      if (!known.has(server)) {
        await api.order(`add server ${path} ${server} ${options}`, 'New server registered.');
        known.add(server);
      }
      await api.order(`set server ${path} state ready`);
    }
    const retired = active.filter((each) => !next.includes(each));
    for (const server of retired) await api.order(`set server ${name}/${server} state maint`);
    // Those of before are forgotten once nothing is under way to them.
    for (const server of known) {
      if (next.includes(server) || retired.includes(server)) continue;
      if ((await api.ask(`del server ${name}/${server}`)) === 'Server deleted.') known.delete(server);
    }
  }
}

/** Resolves when a process takes no new connections any more, or is gone. */
async function stopping(api: RuntimeApi): Promise<void> {
  while (!/^Stopping: 1$/m.test(await api.ask('show info').catch(() => 'Stopping: 1'))) await sleep(2);
}

const alertsOf = (stderr: string): string =>
  stderr
    .split('\n')
    .filter((line) => line.startsWith('[ALERT]'))
    .map((line) => line.replace(/^\[ALERT\]\s*\(\d+\)\s*: /, ''))
    .join('; ') || stderr.trim();
