/** Runs programs in the node's network namespace. */
import { spawn } from 'node:child_process';
import type { NetNamespace } from '@enid/linux';

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
  // Spawning forks before it returns, so the child is inside.
  const child = ns.run(() => spawn(program, args, { stdio: 'pipe' }));
  let errors = '';
  let rest = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop()!;
    lines.forEach(onLine);
  });
  child.stdin.on('error', () => {}); // It ended before it read everything, and says why.
  child.stdin.end(input);
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
