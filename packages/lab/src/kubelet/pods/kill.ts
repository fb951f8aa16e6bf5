import type { Pod } from '@enid/kube';
import { containersOf, isSidecar, type KindedContainer } from '../pod.ts';
import { type RuntimePod, runsOf } from '../runtime/state.ts';
import { type PodContext, tell } from './context.ts';
import { runHook } from './hooks.ts';

/** What a container gets at least after its preStop hook, in seconds. */
const LEAST_GRACE = 2;

/**
 * Ends a running container: its preStop hook, then SIGTERM, then SIGKILL, within `grace` seconds in all.
 * @param signal gives up, so that it can be done with less patience.
 */
export async function killContainer(
  context: PodContext,
  pod: Pod,
  container: KindedContainer,
  containerId: string,
  podIP: string,
  grace: number,
  message: string,
  signal?: AbortSignal,
): Promise<void> {
  tell(context, pod, 'Normal', 'Killing', message, container);
  const begun = Date.now();
  const preStop = container.spec.lifecycle?.preStop;
  if (preStop && grace > 0) {
    try {
      await runHook(preStop, container.spec, containerId, podIP, context.cri, grace * 1000, signal);
    } catch (error) {
      signal?.throwIfAborted();
      const why = `PreStopHook failed: ${(error as Error).message}`;
      tell(context, pod, 'Warning', 'FailedPreStopHook', why, container);
    }
  }
  const left = Math.ceil(grace - (Date.now() - begun) / 1000);
  await context.cri.stopContainer(containerId, grace === 0 ? 0 : Math.max(left, LEAST_GRACE), signal);
}

/** Ends all containers of a pod at once; sidecars after the others, the last one first. */
export async function killPod(
  context: PodContext,
  pod: Pod,
  runtime: RuntimePod,
  grace: number,
  signal: AbortSignal,
): Promise<void> {
  const deadline = Date.now() + grace * 1000;
  const podIP = runtime.sandboxes[0]?.ips[0] ?? context.hostIPs[0]!;
  const kill = (container: KindedContainer) => {
    const left = grace === 0 ? 0 : Math.max(Math.ceil((deadline - Date.now()) / 1000), 1);
    const running = runsOf(runtime, container.spec.name).filter(({ state }) => state === 'running');
    const message = `Stopping container ${container.spec.name}`;
    return Promise.all(
      running.map(({ id }) => killContainer(context, pod, container, id, podIP, left, message, signal)),
    );
  };
  const all = containersOf(pod);
  await Promise.all(all.filter((container) => !isSidecar(container)).map(kill));
  for (const sidecar of all.filter(isSidecar).reverse()) await kill(sidecar);
}
