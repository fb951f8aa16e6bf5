/**
 * Starts programs as container runtimes do: by a clone that shares memory until exec (posix_spawn(3)), as Go's does.
 * Node's own spawn copies the page tables of the whole process first, which takes longer than a small program.
 */
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';

const libc = koffi.load('libc.so.6');
const posixSpawn = libc.func(
  'int posix_spawn(_Out_ int *pid, const char *path, void *actions, void *attributes, const char **argv, const char **envp)',
);
const initActions = libc.func('int posix_spawn_file_actions_init(void *actions)');
const addDup2 = libc.func('int posix_spawn_file_actions_adddup2(void *actions, int fd, int newfd)');
const destroyActions = libc.func('int posix_spawn_file_actions_destroy(void *actions)');
const waitpid = libc.func('int waitpid(int pid, _Out_ int *status, int options)');

/** More than posix_spawn_file_actions_t takes with any libc. */
const ACTIONS_SIZE = 256;

/** A program that was started. */
export type Launched = { readonly pid: number; readonly output: string };

/**
 * Starts a program and returns at once.
 * @param scratch a folder for its input and output, in memory.
 * @param id names both.
 * @throws when it cannot be started, with the number of the error.
 */
export function launch(
  path: string,
  env: readonly string[],
  input: string,
  scratch: string,
  id: string,
): Launched {
  const inputFile = join(scratch, `${id}.in`);
  const output = join(scratch, `${id}.out`);
  writeFileSync(inputFile, input);
  const stdin = openSync(inputFile, 'r');
  const stdout = openSync(output, 'w');
  const actions = Buffer.alloc(ACTIONS_SIZE);
  initActions(actions);
  addDup2(actions, stdin, 0);
  addDup2(actions, stdout, 1);
  addDup2(actions, stdout, 2);
  const pid: [number] = [0];
  const error = posixSpawn(pid, path, actions, null, [path, null], [...env, null]);
  destroyActions(actions);
  closeSync(stdin);
  closeSync(stdout);
  if (error !== 0) throw new Error(`${path} could not be started: errno ${error}`);
  return { pid: pid[0], output };
}

/** Waits for a program to end. @throws unless its exit status is 0, with what it printed. */
export function finish({ pid, output }: Launched): void {
  const status: [number] = [0];
  waitpid(pid, status, 0);
  if (status[0] !== 0)
    throw new Error(`it ended with wait status ${status[0]}: ${readFileSync(output, 'utf8')}`);
}
