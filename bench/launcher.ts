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

/** A program that is ready to run: all but starting it is done. */
export type Prepared = { readonly start: () => void; readonly finish: () => void };

/**
 * Prepares a run of a program.
 * @param scratch a folder for its input and output, in memory.
 * @param id names both.
 * @returns `start` starts it and returns at once; @throws when it cannot be started, with the number of the error.
 *   `finish` waits for its end; @throws unless its exit status is 0, with what it printed.
 */
export function prepare(
  path: string,
  env: readonly string[],
  input: string,
  scratch: string,
  id: string,
): Prepared {
  const inputFile = join(scratch, `${id}.in`);
  const output = join(scratch, `${id}.out`);
  writeFileSync(inputFile, input);
  const files = [openSync(inputFile, 'r'), openSync(output, 'w')] as const;
  const actions = Buffer.alloc(ACTIONS_SIZE);
  initActions(actions);
  addDup2(actions, files[0], 0);
  addDup2(actions, files[1], 1);
  addDup2(actions, files[1], 2);
  const argv = [path, null];
  const envp = [...env, null];
  const pid: [number] = [0];
  return {
    start: () => {
      const error = posixSpawn(pid, path, actions, null, argv, envp);
      if (error !== 0) throw new Error(`${path} could not be started: errno ${error}`);
    },
    finish: () => {
      const status: [number] = [0];
      waitpid(pid[0], status, 0);
      destroyActions(actions);
      for (const file of files) closeSync(file);
      if (status[0] !== 0)
        throw new Error(`it ended with wait status ${status[0]}: ${readFileSync(output, 'utf8')}`);
    },
  };
}
