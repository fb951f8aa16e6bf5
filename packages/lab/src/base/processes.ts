import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { NetNamespace, processesInCgroup } from '@enid/linux';
import type { LabDirectory } from './directory.ts';

/** How long a process may take to end after SIGTERM before it gets SIGKILL, in milliseconds. */
const TERMINATION_GRACE = 5_000;

/** A process of the lab. The start time tells it from a later process that got the same pid. */
export type ProcessRecord = { readonly name: string; readonly pid: number; readonly startTime: string };

export type ProcessSpec = {
  /** Unique in the lab; names its record and its log. */
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly env: NodeJS.ProcessEnv;
  /** The network namespace that it runs in; the caller's when absent. */
  readonly namespace?: NetNamespace;
};

/** Field 22 of /proc/PID/stat: when the process started, in clock ticks since boot. Undefined when it is gone. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const [state, ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie is gone when its last thread is: until then the others hold what it had open.
    const gone = state === 'Z' && readdirSync(`/proc/${pid}/task`).length <= 1;
    return gone ? undefined : rest[18];
  } catch {
    return undefined;
  }
}

export function isAlive(record: ProcessRecord): boolean {
  return startTimeOf(record.pid) === record.startTime;
}

/** The processes of one lab, which outlive the command that started them. */
export class LabProcesses {
  readonly #directory: LabDirectory;

  constructor(directory: LabDirectory) {
    this.#directory = directory;
  }

  logFile(name: string): string {
    return this.#directory.file('logs', `${name}.log`);
  }

  get(name: string): ProcessRecord | undefined {
    const record = this.#directory.read<ProcessRecord>('processes', `${name}.json`);
    return record && isAlive(record) ? record : undefined;
  }

  /**
   * Starts a process in a session of its own, so that a Ctrl-C at the terminal does not reach it. What it
   * prints is appended to its log.
   */
  start(spec: ProcessSpec): { child: ChildProcess; record: ProcessRecord } {
    const log = this.logFile(spec.name);
    mkdirSync(dirname(log), { recursive: true });
    const output = openSync(log, 'a', 0o600);
    const [command, ...args] = spec.command;
    const begin = () =>
      spawn(command, args, {
        detached: true,
        stdio: ['ignore', output, output, 'ipc'],
        env: spec.env,
        cwd: '/',
      });
    try {
      const child = spec.namespace ? spec.namespace.run(begin) : begin();
      if (child.pid === undefined) throw new Error(`${command} could not be started`);
      const record = { name: spec.name, pid: child.pid, startTime: startTimeOf(child.pid) ?? '' };
      this.#directory.write(record, 'processes', `${spec.name}.json`);
      return { child, record };
    } finally {
      closeSync(output);
    }
  }

  /**
   * Waits for a started process to send its first message, then lets it go.
   * @returns the message.
   * @throws when the process ends before that, with the end of its log.
   */
  async firstMessage(child: ChildProcess, name: string): Promise<unknown> {
    const message = await new Promise<unknown>((resolve, reject) => {
      child.once('message', resolve);
      child.once('error', reject);
      child.once('exit', (code, signal) =>
        reject(new Error(`${name} ended with ${signal ?? `status ${code}`}:\n${this.logTail(name)}`)),
      );
    });
    release(child);
    return message;
  }

  /** The last lines of a process's log. */
  logTail(name: string, lines = 15): string {
    try {
      return readFileSync(this.logFile(name), 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
    } catch {
      return '(no log)';
    }
  }

  /** Ends one process: SIGTERM, then SIGKILL; or another signal at once. It is gone when this resolves. */
  async stop(name: string, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const record = this.get(name);
    if (record) await endProcesses([record], signal);
    this.#directory.delete('processes', `${name}.json`);
  }

  /** Ends every recorded process, all at once. */
  async stopAll(): Promise<void> {
    await endProcesses(this.#directory.readAll<ProcessRecord>('processes').filter(isAlive), 'SIGTERM');
  }

  /** Ends whatever runs in one of these named network namespaces, whoever started it. */
  static async endInNamespaces(names: readonly string[]): Promise<void> {
    const inodes = new Set<bigint>();
    for (const name of names) {
      try {
        using namespace = NetNamespace.named(name);
        inodes.add(namespace.inode);
      } catch {
        // A name without a namespace behind it holds no process.
      }
    }
    await endProcesses(processesIn(inodes), 'SIGKILL');
  }

  /** Ends whatever runs in a control group or below it, also what is started meanwhile. */
  static async endInCgroup(group: string): Promise<void> {
    for (;;) {
      const records = processesInCgroup(group).flatMap((pid) => {
        const startTime = startTimeOf(pid);
        return startTime === undefined ? [] : { name: `${pid}`, pid, startTime };
      });
      if (records.length === 0) return;
      await endProcesses(records, 'SIGKILL');
    }
  }
}

/** Lets a started process live on after this one. */
export function release(child: ChildProcess): void {
  child.removeAllListeners();
  if (child.connected) child.disconnect();
  child.unref();
}

/** The processes of a program of which an argument begins with a text, such as a folder of the lab's. */
export function processesWith(program: string, argument: string): ProcessRecord[] {
  return readdirSync('/proc').flatMap((entry) => {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) return [];
    try {
      const [file = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (basename(file) !== program || !args.some((each) => each.startsWith(argument))) return [];
    } catch {
      return []; // It ended meanwhile.
    }
    const startTime = startTimeOf(pid);
    return startTime === undefined ? [] : [{ name: program, pid, startTime }];
  });
}

function processesIn(inodes: ReadonlySet<bigint>): ProcessRecord[] {
  const found: ProcessRecord[] = [];
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      if (!inodes.has(statSync(`/proc/${pid}/ns/net`, { bigint: true }).ino)) continue;
    } catch {
      continue; // It ended meanwhile, or is a kernel thread.
    }
    const startTime = startTimeOf(pid);
    if (startTime !== undefined) found.push({ name: entry, pid, startTime });
  }
  return found;
}

/** Ends processes: SIGTERM, then SIGKILL; or another signal at once. They are gone when this resolves. */
export async function endProcesses(records: readonly ProcessRecord[], signal: NodeJS.Signals): Promise<void> {
  const send = (kind: NodeJS.Signals) => {
    for (const record of records) if (isAlive(record)) process.kill(record.pid, kind);
  };
  const deadline = Date.now() + TERMINATION_GRACE;
  send(signal);
  for (let killed = false; records.some(isAlive); ) {
    if (!killed && Date.now() > deadline) {
      send('SIGKILL');
      killed = true;
    }
    await sleep(5); // A process that is not our child can only be watched.
  }
}
