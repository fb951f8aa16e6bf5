import type { Pod } from '@enid/kube';
import type { ContainerConfig, Mount } from '../cri/types.ts';
import { expand } from '../env/expand.ts';
import { type Container, nameOf, namespaceOf, uidOf } from '../pod.ts';
import {
  CONTAINER_NAME,
  GRACE_PERIOD,
  gracePeriodOf,
  IMAGE,
  MESSAGE_PATH,
  MESSAGE_POLICY,
  POD_NAME,
  POD_NAMESPACE,
  POD_UID,
} from './labels.ts';
import { resourcesOf } from './resources.ts';
import { namespacesOf, securityContextOf } from './security.ts';

export type ContainerParts = {
  /** How many times it ran before. */
  readonly attempt: number;
  /** The image's id in the node's store. */
  readonly imageRef: string;
  /** Whom the image runs as. */
  readonly imageUser: number;
  readonly env: ReadonlyMap<string, string>;
  readonly mounts: readonly Mount[];
  readonly logPath: string;
  readonly nodeMemory: number;
  /** See {@link namespacesOf}. */
  readonly targetId?: string;
};

/** Where a container may write what it wants to be remembered for. */
export const MESSAGE_FILE = '/dev/termination-log';

export function containerConfigOf(pod: Pod, container: Container, parts: ContainerParts): ContainerConfig {
  const { env } = parts;
  const expanded = (words: readonly string[] = []) =>
    words.map((word) => expand(word, (name) => env.get(name)));
  return {
    metadata: { name: container.name, attempt: parts.attempt },
    image: { image: parts.imageRef },
    command: expanded(container.command),
    args: expanded(container.args),
    workingDir: container.workingDir ?? '',
    envs: [...env].map(([key, value]) => ({ key, value })),
    mounts: [...parts.mounts],
    labels: {
      [CONTAINER_NAME]: container.name,
      [POD_NAME]: nameOf(pod),
      [POD_NAMESPACE]: namespaceOf(pod),
      [POD_UID]: uidOf(pod),
    },
    annotations: {
      [IMAGE]: container.image ?? '',
      [GRACE_PERIOD]: `${gracePeriodOf(pod)}`,
      [MESSAGE_PATH]: container.terminationMessagePath ?? MESSAGE_FILE,
      [MESSAGE_POLICY]: container.terminationMessagePolicy ?? 'File',
    },
    logPath: parts.logPath,
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
    tty: container.tty ?? false,
    linux: {
      resources: resourcesOf(pod, container, parts.nodeMemory),
      securityContext: securityContextOf(pod, container, namespacesOf(pod, parts.targetId), parts.imageUser),
    },
  };
}
