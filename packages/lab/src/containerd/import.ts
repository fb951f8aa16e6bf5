import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { containerdCommand } from './command.ts';
import { importerConfig } from './config.ts';

const run = promisify(execFile);

/** The namespace that containerd's CRI plugin keeps its images in. */
const NAMESPACE = 'k8s.io';
const START_TIMEOUT = 10_000;
/** What starts a program that ends with this process, however that ends, and whose mounts end with it. */
const ALONE = ['setpriv', '--pdeathsig', 'KILL', 'unshare', '--mount', '--propagation', 'private'] as const;
/** The status of unshare when it does not find the program. */
const NOT_FOUND = 127;

/** Something that writes itself as an archive in the OCI image layout. */
export type Archive = { write(to: Writable): Promise<void> };

/**
 * Makes a containerd root that has images, unpacked: a containerd is started on it, imports them, and is ended.
 * @throws with containerd's or ctr's words when one of them fails.
 */
export async function importImages(archive: Archive, root: string): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'enid-import-'));
  try {
    await mkdir(root, { recursive: true, mode: 0o700 });
    const containerd = await startContainerd(root, scratch);
    try {
      await runImport(archive, join(scratch, 'socket'));
    } finally {
      if (containerd.exitCode === null && containerd.signalCode === null) {
        containerd.kill('SIGTERM');
        await once(containerd, 'exit');
      }
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function startContainerd(root: string, scratch: string): Promise<ChildProcess> {
  const [socket, configFile] = [join(scratch, 'socket'), join(scratch, 'config.toml')];
  await writeFile(configFile, importerConfig({ root, state: join(scratch, 'state'), socket }));
  const { command, env } = containerdCommand(configFile);
  const child = spawn(ALONE[0], [...ALONE.slice(1), ...command], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4_000);
  });
  let failure: string | undefined;
  child.once('error', (error) => {
    failure = `containerd cannot be started: ${error.message}`;
  });
  child.once('exit', (code, signal) => {
    failure ??=
      code === NOT_FOUND
        ? 'there is no containerd: install the Debian packages containerd and runc'
        : `containerd ended with ${signal ?? `status ${code}`}:\n${said}`;
  });
  const deadline = Date.now() + START_TIMEOUT;
  for (;;) {
    if (failure) throw new Error(failure);
    try {
      await run('ctr', ['--address', socket, 'version']);
      return child;
    } catch (error) {
      if (Date.now() > deadline) {
        child.kill('SIGKILL');
        throw new Error(`containerd does not answer after ${START_TIMEOUT / 1000} s: ${error}\n${said}`);
      }
      await sleep(30);
    }
  }
}

async function runImport(archive: Archive, socket: string): Promise<void> {
  const args = ['--address', socket, '--namespace', NAMESPACE, 'images', 'import', '-'];
  const child = spawn('ctr', args, { stdio: ['pipe', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const closed = once(child, 'close');
  // When ctr fails, the archive finds nobody to read it; what ctr says is the cause.
  const written = archive.write(child.stdin).catch((error: unknown) => error);
  const [status] = await closed;
  if (status !== 0) throw new Error(`the images cannot be imported: ${said.trim()}`);
  const failure = await written;
  if (failure) throw failure;
}
