import { spawn, spawnSync } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';
import type { NetNamespace } from './netns.ts';
import { memfd } from './syscalls.ts';

/** An object of libnftables-json(5): `{table: {family, name, handle}}`, `{chain: ...}`, `{rule: ...}`, ... */
export type NftObject = Record<string, Record<string, unknown>>;
/** A command of libnftables-json(5): `{add: {table: {family: 'inet', name: 'filter'}}}`. */
export type NftCommand = Record<string, NftObject | null>;
/** Commands, or text in nft's own language (nft(8)). */
export type NftTransaction = readonly NftCommand[] | string;

/** What nft refused. Nothing of the transaction was done. */
export class NftError extends Error {
  override readonly name = 'NftError';
  /** What nft printed. */
  readonly text: string;
  /** The command that it refused, when the transaction had several and it could be found. */
  readonly command?: NftCommand;

  constructor(text: string, command?: NftCommand) {
    // nft quotes the refused line, which may be a set of any length.
    super(`nft: ${text.trim().slice(0, 1000)}${command ? ` in ${JSON.stringify(command)}` : ''}`);
    this.text = text;
    if (command) this.command = command;
  }
}

type Run = { args: string[]; input: string };
type Result = { status: number | null; stdout: string; stderr: string };

/** The nftables of one network namespace, through the nft executable (Debian package nftables). */
export class Nftables {
  readonly #ns: NetNamespace | undefined;

  /** @param ns the namespace; the calling thread's own by default. Has to stay open. */
  constructor(ns?: NetNamespace) {
    this.#ns = ns;
  }

  /**
   * Does all of a transaction or, when it throws, nothing.
   * @throws {NftError} with nft's own words and the refused command.
   */
  async apply(transaction: NftTransaction): Promise<void> {
    const steps = applySteps(transaction);
    let step = steps.next();
    while (!step.done) step = steps.next(await this.#run(step.value));
  }

  /** As {@link Nftables.apply}, blocking. */
  applySync(transaction: NftTransaction): void {
    const steps = applySteps(transaction);
    let step = steps.next();
    while (!step.done) step = steps.next(this.#runSync(step.value));
  }

  /**
   * A table and all that is in it, or one map of it.
   * @returns undefined when there is no such table or map.
   * @throws {NftError}
   */
  async list(table: { family: string; name: string }, map?: string): Promise<NftObject[] | undefined> {
    return listed(await this.#run(listOf(table, map)));
  }

  /** As {@link Nftables.list}, blocking. */
  listSync(table: { family: string; name: string }): NftObject[] | undefined {
    return listed(this.#runSync(listOf(table)));
  }

  #runSync({ args, input }: Run): Result {
    const { error, status, stdout, stderr } = this.#withInput(input, (stdin) =>
      spawnSync('nft', args, { stdio: [stdin, 'pipe', 'pipe'], encoding: 'utf8', maxBuffer: Infinity }),
    );
    if (error) throw spawnError(error);
    return { status, stdout, stderr };
  }

  #run({ args, input }: Run): Promise<Result> {
    return new Promise((resolve, reject) => {
      const child = this.#withInput(input, (stdin) => spawn('nft', args, { stdio: [stdin, 'pipe', 'pipe'] }));
      let stdout = '';
      let stderr = '';
      child.stdout?.setEncoding('utf8').on('data', (text) => (stdout += text));
      child.stderr?.setEncoding('utf8').on('data', (text) => (stderr += text));
      child.on('error', (error) => reject(spawnError(error)));
      child.on('close', (status) => resolve({ status, stdout, stderr }));
    });
  }

  /**
   * Spawns a process in the namespace with `input` as its standard input. It is a file in memory, since nft opens
   * /dev/stdin, which cannot be done with the sockets that Node makes for pipes. Spawning forks on this thread
   * before it returns, also when asynchronous, so the child is in the namespace and has the file by then.
   */
  #withInput<T>(input: string, start: (stdin: number) => T): T {
    const stdin = memfd('nft');
    try {
      // At position 0, where the offset stays: nft reads JSON from the file's start and text from the offset.
      writeSync(stdin, input, 0);
      return this.#ns ? this.#ns.run(() => start(stdin)) : start(stdin);
    } finally {
      closeSync(stdin);
    }
  }
}

/** What to run to apply a transaction; the results are sent back in. */
function* applySteps(transaction: NftTransaction): Generator<Run, void, Result> {
  if (transaction.length === 0) return;
  const { status, stderr } = yield nft([], transaction);
  if (status === 0) return;
  throw new NftError(
    stderr || `exit status ${status}`,
    typeof transaction === 'string' ? undefined : yield* refusedCommand(transaction),
  );
}

/**
 * nft does not say which command of JSON input failed: looks for the shortest beginning of the transaction that
 * is refused, by checking (-c) without applying.
 */
function* refusedCommand(commands: readonly NftCommand[]): Generator<Run, NftCommand | undefined, Result> {
  let accepted = 0;
  let refused = commands.length;
  while (refused - accepted > 1) {
    const middle = (accepted + refused) >> 1;
    const { status } = yield nft(['-c'], commands.slice(0, middle));
    if (status === 0) accepted = middle;
    else refused = middle;
  }
  return commands[refused - 1];
}

function nft(options: string[], transaction: NftTransaction): Run {
  if (typeof transaction === 'string') return { args: [...options, '-f', '-'], input: transaction };
  return { args: [...options, '-j', '-f', '-'], input: JSON.stringify({ nftables: transaction }) };
}

function listOf({ family, name }: { family: string; name: string }, map?: string): Run {
  const what = map === undefined ? { table: { family, name } } : { map: { family, table: name, name: map } };
  return nft([], [{ list: what } as NftCommand]);
}

function listed({ status, stdout, stderr }: Result): NftObject[] | undefined {
  if (status !== 0 && /No such file or directory/.test(stderr)) return undefined;
  if (status !== 0) throw new NftError(stderr || `exit status ${status}`);
  const { nftables } = JSON.parse(stdout) as { nftables: NftObject[] };
  return nftables.filter((object) => !('metainfo' in object));
}

function spawnError(error: NodeJS.ErrnoException): Error {
  if (error.code !== 'ENOENT') return error;
  return new Error('the nft executable is missing: install the package nftables', { cause: error });
}
