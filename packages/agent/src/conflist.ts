/** What a container runtime needs to find the agent: the CNI executable, and the network configuration. */
import { chmod, copyFile, mkdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from './config.ts';

export const CONFLIST = '10-aws.conflist';
const PLUGIN = 'aws-cni';
/** The executable as it is built beside the sources. */
const BUILT = fileURLToPath(new URL('../../../cni/build/aws-cni', import.meta.url));

/** Neither the folder for CNI executables nor the build has the agent's. */
export class ExecutableError extends Error {
  override readonly name = 'ExecutableError';
}

/**
 * Puts the CNI executable in its folder, unless the same is there.
 * @throws {ExecutableError} when there is none to put and none is there.
 */
export async function installExecutable(binDir: string, built = BUILT): Promise<void> {
  const target = join(binDir, PLUGIN);
  const [source, present] = await Promise.all([statOf(built), statOf(target)]);
  if (source === undefined) {
    if (present) return;
    throw new ExecutableError(
      `${target} does not exist and ${built} is not built: build it, or install it there`,
    );
  }
  if (
    present &&
    (present.ino === source.ino || (present.size === source.size && present.mtimeMs >= source.mtimeMs))
  )
    return;
  await mkdir(binDir, { recursive: true });
  const temporary = `${target}.${process.pid}`;
  await copyFile(built, temporary);
  await chmod(temporary, 0o755);
  await rename(temporary, target); // A runtime that runs it at this moment keeps the old one.
}

/**
 * Tells runtimes that pods can come: writes the configuration, whole or not at all.
 *
 * `cniVersion` is what every runtime in use speaks; one that knows `cniVersions` takes the highest of them, and with
 * it asks for STATUS. `portmap` is chained where the host has it.
 */
export async function writeConflist({ confDir, binDir }: Config['cni']): Promise<void> {
  const hasPortmap = (await statOf(join(binDir, 'portmap'))) !== undefined;
  const conflist = {
    cniVersion: '1.0.0',
    cniVersions: ['0.4.0', '1.0.0', '1.1.0'],
    name: PLUGIN,
    plugins: [
      { type: PLUGIN },
      ...(hasPortmap ? [{ type: 'portmap', capabilities: { portMappings: true }, snat: true }] : []),
    ],
  };
  await mkdir(confDir, { recursive: true });
  const file = join(confDir, CONFLIST);
  // Runtimes read what ends in .conf, .conflist or .json.
  const temporary = `${file}.tmp`;
  await writeFile(temporary, `${JSON.stringify(conflist, undefined, 2)}\n`);
  await rename(temporary, file);
}

/** Tells runtimes that no pod can come yet: takes away what an earlier run left. */
export async function removeConflist({ confDir }: Config['cni']): Promise<void> {
  await rm(join(confDir, CONFLIST), { force: true });
}

async function statOf(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
