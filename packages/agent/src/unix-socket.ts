/** The unix sockets that the agent listens on: for root alone, and never those of another agent. */
import { chmod, lstat, mkdir, rename, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';

/**
 * Listens. The socket appears at `path` complete, with mode 0600, in place of one that a dead agent left.
 * @param variable the environment variable that sets the path, for errors.
 * @throws when another agent answers there, or when what is there is no socket.
 */
export async function listenOn(server: Server, path: string, variable: string): Promise<void> {
  const directory = dirname(path);
  // Whatever the umask is; one that was there, as /tmp, keeps its own mode.
  if (await mkdir(directory, { recursive: true })) await chmod(directory, 0o755);
  await assertFree(path, variable);
  const temporary = `${path}.${process.pid}`;
  await removeSocket(temporary);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(temporary, resolve);
  });
  await chmod(temporary, 0o600);
  await rename(temporary, path);
}

/** Takes a socket away; that it is gone already is no error. */
export async function removeSocket(path: string): Promise<void> {
  await unlink(path).catch(ignoreMissing);
}

/** Refuses a path that somebody else uses. */
async function assertFree(path: string, variable: string): Promise<void> {
  const there = await lstat(path).catch(ignoreMissing);
  if (!there) return;
  if (!there.isSocket()) {
    throw new Error(`${path} exists and is no socket: remove it, or set ${variable} to another path`);
  }
  const alive = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => resolve(true));
    probe.once('error', () => resolve(false));
    probe.once('close', () => resolve(false));
    probe.once('connect', () => probe.destroy());
  });
  if (alive) {
    throw new Error(
      `another agent listens on ${path}: stop it, or set ${variable} to another path for this one`,
    );
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
