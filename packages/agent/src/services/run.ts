/** Runs programs in the node's network namespace. */
import { spawn } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';
import { memfd, type NetNamespace } from '@enid/linux';

/** A program that failed, in its own words. */
export class ProgramError extends Error {
  override readonly name = 'ProgramError';
}

/**
 * Runs a program.
 * @param onLine gets each line that it prints.
 * @throws {ProgramError} when there is no such program or it exits with anything but 0.
 */
export async function run(
  ns: NetNamespace,
  [program, ...args]: readonly [string, ...string[]],
  onLine: (line: string) => void = () => {},
  input = '',
): Promise<void> {
  const stdin = fileOf(input);
  // Spawning forks before it returns, so the child is inside and has the file.
  const child = ns.run(() => spawn(program, args, { stdio: [stdin, 'pipe', 'pipe'] }));
  closeSync(stdin);
  let errors = '';
  let rest = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (errors += text));
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    lines.forEach(onLine);
  });
  await new Promise<void>((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      const message =
        error.code === 'ENOENT' ? `${program} is missing: install the package that has it` : error.message;
      reject(new ProgramError(message, { cause: error }));
    });
    child.on('close', (status) => {
      if (rest !== '') onLine(rest);
      if (status === 0) resolve();
      else reject(new ProgramError(`${program}: ${errors.trim().slice(0, 1000) || `exit status ${status}`}`));
    });
  });
}

/** A file in memory: programs open /dev/stdin, which cannot be done with the sockets that Node makes for pipes. */
function fileOf(text: string): number {
  const fd = memfd('stdin');
  // At position 0, where the offset stays.
  writeSync(fd, text, 0);
  return fd;
}
