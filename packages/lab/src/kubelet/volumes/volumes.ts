import { chmod, chown, mkdir, rm } from 'node:fs/promises';
import type { Pod } from '@enid/kube';
import { uidOf, type Volume } from '../pod.ts';
import type { Paths } from '../runtime/paths.ts';
import { bytes } from '../runtime/resources.ts';
import { type Payload, samePayload, writeAtomically } from './atomic-writer.ts';
import { checkHostPath } from './host-path.ts';
import { MountError } from './mount-error.ts';
import { contentOf, hasPayload, type PayloadSources } from './payload.ts';
import { mountsBelow, mountTmpfs, unmount } from './tmpfs.ts';

/** @param refreshAt when the volumes want to be seen to again, in milliseconds since 1970. */
export type MountedVolumes = { readonly paths: ReadonlyMap<string, string>; readonly refreshAt: number };

/** The volumes of pods on this node. */
export class Volumes {
  readonly #paths: Paths;
  /** What was written, so that what has not changed is not written again. */
  readonly #written = new Map<string, Payload>();

  constructor(paths: Paths) {
    this.#paths = paths;
  }

  /**
   * Makes a pod's volumes, or brings them up to date.
   * @returns where each is on the node.
   * @throws {MountError} when one cannot be had now.
   */
  async mount(pod: Pod, sources: PayloadSources): Promise<MountedVolumes> {
    const uid = uidOf(pod);
    await mkdir(this.#paths.pod(uid), { recursive: true, mode: 0o750 });
    const mounted = await Promise.all(
      (pod.spec?.volumes ?? []).map(async (volume) => {
        try {
          return { name: volume.name, ...(await this.#mountOne(pod, volume, sources)) };
        } catch (error) {
          throw new MountError(volume.name, error instanceof Error ? error.message : String(error));
        }
      }),
    );
    return {
      paths: new Map(mounted.map(({ name, path }) => [name, path])),
      refreshAt: Math.min(...mounted.map(({ refreshAt = Number.POSITIVE_INFINITY }) => refreshAt)),
    };
  }

  /** Takes a pod's volumes away, and all else that the kubelet kept for it. */
  async unmount(uid: string): Promise<void> {
    const directory = this.#paths.pod(uid);
    for (const path of await mountsBelow(directory)) await unmount(path);
    await rm(directory, { recursive: true, force: true });
    for (const path of this.#written.keys()) if (path.startsWith(`${directory}/`)) this.#written.delete(path);
  }

  async #mountOne(
    pod: Pod,
    volume: Volume,
    sources: PayloadSources,
  ): Promise<{ path: string; refreshAt?: number }> {
    const { hostPath, emptyDir, name } = volume;
    const group = pod.spec?.securityContext?.fsGroup;
    if (hostPath) {
      await checkHostPath(hostPath);
      return { path: hostPath.path };
    }
    if (emptyDir) return { path: await this.#emptyDir(uidOf(pod), name, emptyDir, group) };
    if (!hasPayload(volume)) {
      const kind = Object.keys(volume).find((key) => key !== 'name');
      throw new Error(
        `the lab's kubelet has no ${kind} volumes: it has configMap, secret, projected, downwardAPI, emptyDir and hostPath`,
      );
    }
    const plugin = volume.configMap
      ? 'configmap'
      : volume.secret
        ? 'secret'
        : volume.projected
          ? 'projected'
          : 'downward-api';
    const path = this.#paths.volume(uidOf(pod), plugin, name);
    const { files, refreshAt } = await contentOf(pod, volume, sources);
    const before = this.#written.get(path);
    if (!before || !samePayload(before, files)) {
      await writeAtomically(path, files, group);
      this.#written.set(path, files);
    }
    return { path, refreshAt };
  }

  async #emptyDir(
    uid: string,
    name: string,
    { medium, sizeLimit }: NonNullable<Volume['emptyDir']>,
    group: number | undefined,
  ): Promise<string> {
    const path = this.#paths.volume(uid, 'empty-dir', name);
    const made = await mkdir(path, { recursive: true, mode: 0o777 });
    if (medium === 'Memory' && (await mountsBelow(path)).length === 0)
      await mountTmpfs(path, sizeLimit === undefined ? undefined : bytes(sizeLimit));
    if (made !== undefined) {
      if (group !== undefined) await chown(path, -1, group);
      await chmod(path, group === undefined ? 0o777 : 0o2777);
    }
    return path;
  }
}
