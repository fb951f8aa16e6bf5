/** Starting one container of a pod whose sandbox is there. */
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Pod } from '@enid/kube';
import { RuntimeError } from '../cri/client.ts';
import type { Image, Mount, PodSandboxConfig } from '../cri/types.ts';
import { environmentOf } from '../env/environment.ts';
import { ContainerError, configError } from '../objects/errors.ts';
import { type Container, type KindedContainer, uidOf } from '../pod.ts';
import { containerConfigOf, MESSAGE_FILE } from '../runtime/container.ts';
import { hostsFileOf } from '../runtime/hosts-file.ts';
import { gracePeriodOf } from '../runtime/labels.ts';
import { type RuntimePod, type RuntimeSandbox, runsOf } from '../runtime/state.ts';
import { fileMount, messageMount, volumeMountsOf } from '../volumes/mounts.ts';
import { type PodContext, tell } from './context.ts';
import { runHook } from './hooks.ts';
import { killContainer } from './kill.ts';
import { crashKey } from './plan.ts';

export type Surroundings = {
  readonly runtime: RuntimePod;
  readonly sandbox: RuntimeSandbox;
  readonly sandboxConfig: PodSandboxConfig;
  /** Where the volumes are, by name. */
  readonly volumes: ReadonlyMap<string, string>;
};

/**
 * @param signal gives up waiting for a postStart hook, as the pod is to end.
 * @throws {ContainerError} with the reason that the container waits for.
 */
export async function startContainer(
  context: PodContext,
  pod: Pod,
  container: KindedContainer,
  surroundings: Surroundings,
  signal: AbortSignal,
): Promise<void> {
  const { cri } = context;
  const { spec } = container;
  const { runtime, sandbox, sandboxConfig } = surroundings;
  const say = (type: 'Normal' | 'Warning', reason: string, message: string) =>
    tell(context, pod, type, reason, message, container);

  const image = await context.images.ensure(spec, say);
  checkUser(pod, spec, image);
  const addresses = {
    podIPs: sandbox.ips.length > 0 ? sandbox.ips : context.hostIPs,
    hostIPs: context.hostIPs,
  };
  const env = await environmentOf(pod, spec, addresses, context.environment);

  // One that was created but never started, as the kubelet ended in between, is in the way.
  const [newest] = runsOf(runtime, spec.name);
  if (newest && (newest.state === 'created' || newest.state === 'unknown'))
    await cri.removeContainer(newest.id);
  const told = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  const before = told.find(({ name, containerID }) => name === spec.name && containerID);
  const attempt = newest ? newest.attempt + 1 : before ? before.restartCount + 1 : 0;
  if (newest?.state === 'exited') context.crashes.grow(crashKey(pod, spec.name));

  const mounts = await mountsOf(context, pod, spec, attempt, env, addresses.podIPs, surroundings.volumes);
  const logPath = context.paths.log(spec.name, attempt);
  await mkdir(dirname(join(sandboxConfig.logDirectory, logPath)), { recursive: true, mode: 0o755 });
  const target = targetOf(pod, container, runtime);
  const config = containerConfigOf(pod, spec, {
    attempt,
    imageRef: image.id,
    imageUser: image.uid?.value ?? 0,
    env,
    mounts,
    logPath,
    nodeMemory: context.nodeMemory,
    ...(target && { targetId: target }),
  });

  const id = await failing('CreateContainerError', () =>
    cri.createContainer(sandbox.id, config, sandboxConfig),
  );
  say('Normal', 'Created', `Created container: ${spec.name}`);
  await failing('RunContainerError', () => cri.startContainer(id));
  say('Normal', 'Started', `Started container ${spec.name}`);

  const postStart = spec.lifecycle?.postStart;
  if (!postStart) return;
  try {
    await runHook(postStart, spec, id, addresses.podIPs[0]!, cri, undefined, signal);
  } catch (error) {
    signal.throwIfAborted();
    const message = `PostStartHook failed: ${(error as Error).message}`;
    say('Warning', 'FailedPostStartHook', message);
    const podIP = addresses.podIPs[0]!;
    await killContainer(
      context,
      pod,
      container,
      id,
      podIP,
      gracePeriodOf(pod),
      'FailedPostStartHook',
      signal,
    );
    throw new ContainerError('PostStartHookError', message, { cause: error });
  }

  async function failing<T>(reason: string, does: () => Promise<T>): Promise<T> {
    try {
      return await does();
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      say('Warning', 'Failed', `Error: ${error.message}`);
      throw new ContainerError(reason, error.message, { cause: error });
    }
  }
}

async function mountsOf(
  { paths, clusterDns }: PodContext,
  pod: Pod,
  spec: Container,
  attempt: number,
  env: ReadonlyMap<string, string>,
  podIPs: readonly string[],
  volumes: ReadonlyMap<string, string>,
): Promise<Mount[]> {
  const uid = uidOf(pod);
  const mounts = await volumeMountsOf(spec, volumes, env);
  if (!mounts.some(({ containerPath }) => containerPath === '/etc/hosts')) {
    const nodeHosts = await readFile('/etc/hosts', 'utf8').catch(() => '');
    const text = hostsFileOf(pod, podIPs, nodeHosts, clusterDns.domain);
    mounts.push(await fileMount('/etc/hosts', paths.etcHosts(uid), text));
  }
  const messages = spec.terminationMessagePath ?? MESSAGE_FILE;
  if (messages) mounts.push(await messageMount(messages, paths.terminationMessage(uid, spec.name, attempt)));
  return mounts;
}

/** @throws {ContainerError} when a container that must not run as root would. */
function checkUser(pod: Pod, { securityContext, name }: Container, image: Image): void {
  const shared = pod.spec?.securityContext;
  if (!(securityContext?.runAsNonRoot ?? shared?.runAsNonRoot)) return;
  const user = securityContext?.runAsUser ?? shared?.runAsUser ?? image.uid?.value;
  if (user === undefined && image.username)
    throw configError(
      `container has runAsNonRoot and image has non-numeric user (${image.username}), cannot verify user is non-root`,
    );
  if ((user ?? 0) === 0)
    throw configError(
      `container ${name} has runAsNonRoot and would run as root: set runAsUser to another user than 0`,
    );
}

/** The container whose processes an ephemeral one sees. */
function targetOf(pod: Pod, { kind, spec }: KindedContainer, runtime: RuntimePod): string | undefined {
  if (kind !== 'ephemeral') return undefined;
  const name = pod.spec?.ephemeralContainers?.find((one) => one.name === spec.name)?.targetContainerName;
  return name ? runsOf(runtime, name)[0]?.id : undefined;
}
