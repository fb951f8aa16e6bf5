/** The internet's host as a place to run commands in: it asks the internet's own DNS. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';
import type { LabDirectory } from '../base/directory.ts';
import { createMountNamespace } from '../base/mount-namespace.ts';
import { INTERNET_SERVER } from '../internet/addresses.ts';

const run = promisify(execFile);
const MOUNTS = ['internet', 'mounts'] as const;
const RESOLV_CONF = ['internet', 'resolv.conf'] as const;

/** Makes its mount namespace, which goes with the lab's directory. */
export async function createInternetHost(directory: LabDirectory): Promise<void> {
  directory.writeText(`nameserver ${INTERNET_SERVER}\n`, ...RESOLV_CONF);
  const mounts = directory.file(...MOUNTS);
  await createMountNamespace(mounts);
  const bind = ['mount', '--bind', directory.file(...RESOLV_CONF), '/etc/resolv.conf'];
  await run('nsenter', [`--mount=${mounts}`, '--', ...bind]);
}

/** A command as it is to be called in the internet's network namespace. */
export function onInternetHost(
  directory: LabDirectory,
  command: readonly [string, ...string[]],
): readonly [string, ...string[]] {
  const mounts = directory.file(...MOUNTS);
  if (!existsSync(mounts)) return command;
  return ['nsenter', `--mount=${mounts}`, `--wdns=${process.cwd()}`, '--', ...command];
}
