import { mkdir, open, realpath, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative } from 'node:path';
import type { Mount } from '../cri/types.ts';
import { expand } from '../env/expand.ts';
import { configError } from '../objects/errors.ts';
import type { Container, VolumeMount } from '../pod.ts';

const PROPAGATION = {
  None: 'PROPAGATION_PRIVATE',
  HostToContainer: 'PROPAGATION_HOST_TO_CONTAINER',
  Bidirectional: 'PROPAGATION_BIDIRECTIONAL',
} as const;

/** @param volumes where the pod's volumes are on the node, by name. */
export async function volumeMountsOf(
  container: Container,
  volumes: ReadonlyMap<string, string>,
  env: ReadonlyMap<string, string>,
): Promise<Mount[]> {
  return Promise.all(
    (container.volumeMounts ?? []).map(async (mount) => {
      const volume = volumes.get(mount.name);
      if (volume === undefined)
        throw configError(`volume "${mount.name}" of container ${container.name} is not mounted`);
      return {
        containerPath: isAbsolute(mount.mountPath) ? mount.mountPath : `/${mount.mountPath}`,
        hostPath: await pathIn(volume, mount, env),
        readonly: mount.readOnly ?? false,
        propagation: PROPAGATION[(mount.mountPropagation ?? 'None') as keyof typeof PROPAGATION],
      };
    }),
  );
}

/** The volume, or the part of it that is mounted: made as a directory when it is not there, and never outside of it. */
async function pathIn(
  volume: string,
  { name, subPath, subPathExpr }: VolumeMount,
  env: ReadonlyMap<string, string>,
): Promise<string> {
  const part = subPathExpr ? expand(subPathExpr, (variable) => env.get(variable)) : subPath;
  if (!part) return volume;
  const path = join(volume, part);
  const outside = () => configError(`subPath "${part}" of volume "${name}" leads out of the volume`);
  if (leaves(volume, path)) throw outside();
  const there = await realpath(path).catch(() => undefined);
  if (there === undefined) await mkdir(path, { recursive: true, mode: 0o755 });
  const real = there ?? (await realpath(path));
  if (leaves(await realpath(volume), real)) throw outside();
  return real;
}

function leaves(volume: string, path: string): boolean {
  const way = relative(volume, path);
  return way === '..' || way.startsWith('../');
}

/** A file of the kubelet's own that is mounted into a container. */
export async function fileMount(containerPath: string, hostPath: string, text: string): Promise<Mount> {
  await mkdir(dirname(hostPath), { recursive: true, mode: 0o755 });
  await writeFile(hostPath, text, { mode: 0o644 });
  return { containerPath, hostPath, readonly: false, propagation: 'PROPAGATION_PRIVATE' };
}

/** An empty file that any user in the container may write to. */
export async function messageMount(containerPath: string, hostPath: string): Promise<Mount> {
  const mount = await fileMount(containerPath, hostPath, '');
  await using file = await open(hostPath, 'r+');
  await file.chmod(0o666);
  return mount;
}
