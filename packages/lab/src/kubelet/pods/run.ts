/** Brings a pod to what its object says, once. */
import { mkdir } from 'node:fs/promises';
import type { Pod } from '@enid/kube';
import { RuntimeError } from '../cri/client.ts';
import type { PodSandboxConfig } from '../cri/types.ts';
import { ContainerError } from '../objects/errors.ts';
import { containersOf, fullNameOf, hasEnded, isHostNetwork, type KindedContainer, uidOf } from '../pod.ts';
import { dnsConfigOf } from '../runtime/dns.ts';
import { gracePeriodOf } from '../runtime/labels.ts';
import { sandboxConfigOf } from '../runtime/sandbox.ts';
import { currentSandbox, type RuntimePod, runsOf } from '../runtime/state.ts';
import { statusOf } from '../status/status.ts';
import { MountError } from '../volumes/mount-error.ts';
import { type PodContext, tell } from './context.ts';
import { killContainer } from './kill.ts';
import { type Hold, planPod } from './plan.ts';
import { startContainer } from './start.ts';

/** What a worker remembers of its pod between two times. */
export type PodMemory = {
  /** What the last tries to start containers came to. */
  readonly attempts: Map<string, Hold>;
  /** Gives up waiting, as the pod is to end. */
  readonly signal: AbortSignal;
  /** Reads what runs, after waiting for what is known to have ended. */
  readonly read: () => Promise<RuntimePod>;
};

/** The pod could not be brought further, and it was told why. */
export class PodError extends Error {}

const CONFIG_RETRY = 10_000;
const SHOW_FAILURE = 1_000;
const ROUNDS = 50;

/**
 * @returns when to look again without a reason to, in milliseconds since 1970.
 * @throws {PodError} to be tried again.
 */
export async function runPod(context: PodContext, pod: Pod, memory: PodMemory): Promise<number> {
  const { clock } = context;
  let runtime = await memory.read();
  const show = (holds: ReadonlyMap<string, Hold> = new Map()) => publish(context, pod, runtime, holds, false);
  if (hasEnded({ status: context.statuses.latest(pod) })) {
    await stopRest(context, pod, runtime);
    show();
    return Number.POSITIVE_INFINITY;
  }
  if (runtime.sandboxes.length === 0) show();
  const problem = isHostNetwork(pod) ? undefined : context.networkProblem();
  if (problem && !currentSandbox(runtime)?.ready) {
    tell(context, pod, 'Warning', 'NetworkNotReady', `network is not ready: ${problem}`);
    return Number.POSITIVE_INFINITY; // It is told when that changes.
  }
  const volumes = await mountVolumes(context, pod, show);

  for (const [name, hold] of memory.attempts) memory.attempts.set(name, asBackOff(hold));

  let wake = volumes.refreshAt;
  for (let round = 0; round < ROUNDS; round++) {
    const held = (name: string) => {
      const hold = memory.attempts.get(name);
      return hold && hold.until > clock.now() ? hold : undefined;
    };
    const plan = planPod(pod, runtime, { crashes: context.crashes, held, probes: context.prober.results });
    const podIP = currentSandbox(runtime)?.ips[0] ?? context.hostIPs[0]!;
    context.prober.update(pod, runtime, podIP);
    show(plan.holds);
    for (const [name, hold] of plan.holds) tellOfHold(context, pod, name, hold);
    wake = Math.min(volumes.refreshAt, ...[...plan.holds.values()].map((hold) => wakeFor(hold, clock.now())));

    if (plan.kill.length > 0) {
      await Promise.all(
        plan.kill.map(({ container, run, message, gracePeriod = gracePeriodOf(pod) }) =>
          killContainer(context, pod, container, run.id, podIP, gracePeriod, message, memory.signal),
        ),
      );
    } else if (plan.sandbox === 'stop') {
      await stopRest(context, pod, runtime);
      break;
    } else if (plan.sandbox === 'create') {
      await createSandbox(context, pod, runtime);
    } else if (plan.start.length > 0) {
      const sandbox = currentSandbox(runtime)!;
      const sandboxConfig = configOf(context, pod, sandbox.attempt);
      const surroundings = { runtime, sandbox, sandboxConfig, volumes: volumes.paths };
      await inOrder(plan.start, (container) =>
        tryToStart(context, pod, container, memory, () =>
          startContainer(context, pod, container, surroundings, memory.signal),
        ),
      );
    } else {
      break;
    }
    runtime = await memory.read();
  }
  await removeOld(context, pod, runtime);
  return wake;
}

/** Tells the API how the pod is. @param over that it is deleted and nothing of it runs. */
export function publish(
  { statuses, prober, hostIPs, clock }: PodContext,
  pod: Pod,
  runtime: RuntimePod,
  holds: ReadonlyMap<string, Hold>,
  over: boolean,
): void {
  const previous = statuses.latest(pod);
  const now = clock.now();
  statuses.publish(
    pod,
    statusOf(pod, { runtime, holds, probes: prober.results, hostIPs, previous, over, now }),
  );
}

async function mountVolumes(context: PodContext, pod: Pod, show: () => void) {
  const { environment, hostIPs, objects, tokens } = context;
  try {
    const { nodeResources } = environment;
    return await context.volumes.mount(pod, {
      objects,
      tokens,
      nodeResources,
      addresses: { podIPs: [], hostIPs },
    });
  } catch (error) {
    if (!(error instanceof MountError)) throw error;
    show();
    tell(context, pod, 'Warning', 'FailedMount', error.message);
    throw new PodError(error.message, { cause: error });
  }
}

function configOf(context: PodContext, pod: Pod, attempt: number): PodSandboxConfig {
  return sandboxConfigOf(pod, {
    attempt,
    logDirectory: context.paths.logs(pod),
    dns: dnsConfigOf(pod, context.hostDns(), context.clusterDns),
    cgroupParent: context.cgroupParent,
  });
}

async function createSandbox(context: PodContext, pod: Pod, runtime: RuntimePod): Promise<void> {
  const before = currentSandbox(runtime);
  // A sandbox that is not used any more gives its address back before the next one takes one.
  for (const { id } of runtime.sandboxes) await context.cri.stopPodSandbox(id);
  if (before)
    tell(context, pod, 'Normal', 'SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.');
  const config = configOf(context, pod, before ? before.attempt + 1 : 0);
  await mkdir(config.logDirectory, { recursive: true, mode: 0o755 });
  try {
    await context.cri.runPodSandbox(config);
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error;
    const message = `Failed to create pod sandbox: ${error.message}`;
    tell(context, pod, 'Warning', 'FailedCreatePodSandBox', message);
    throw new PodError(message, { cause: error });
  }
}

/** At once, but that nothing overtakes a postStart hook: later containers may count on it. */
async function inOrder(
  containers: readonly KindedContainer[],
  start: (container: KindedContainer) => Promise<void>,
): Promise<void> {
  let together: Promise<void>[] = [];
  for (const container of containers) {
    together.push(start(container));
    if (!container.spec.lifecycle?.postStart) continue;
    await Promise.all(together);
    together = [];
  }
  await Promise.all(together);
}

async function tryToStart(
  { clock, pulls }: PodContext,
  pod: Pod,
  { spec }: KindedContainer,
  { attempts }: PodMemory,
  start: () => Promise<void>,
): Promise<void> {
  const pull = `${uidOf(pod)}/${spec.name}/${spec.image}`;
  try {
    await start();
    attempts.delete(spec.name);
  } catch (error) {
    if (!(error instanceof ContainerError)) throw error;
    const now = clock.now();
    let until = now + CONFIG_RETRY;
    if (error.reason === 'ErrImagePull') {
      pulls.grow(pull);
      until = pulls.waiting(pull, now)?.until ?? until;
    }
    // Of one that was started the runtime remembers it, and when it may be again.
    if (error.reason === 'RunContainerError' || error.reason === 'PostStartHookError') until = now;
    attempts.set(spec.name, { reason: error.reason, message: error.message, until });
  }
}

function tellOfHold(context: PodContext, pod: Pod, name: string, { reason, message }: Hold): void {
  const container = containersOf(pod).find(({ spec }) => spec.name === name)!;
  if (reason === 'CrashLoopBackOff') {
    const text = `Back-off restarting failed container ${name} in pod ${fullNameOf(pod)}`;
    tell(context, pod, 'Warning', 'BackOff', text, container);
  } else if (reason === 'ImagePullBackOff') {
    tell(context, pod, 'Normal', 'BackOff', `Back-off pulling image "${container.spec.image}"`, container);
    tell(context, pod, 'Warning', 'Failed', 'Error: ImagePullBackOff', container);
  } else {
    tell(context, pod, 'Warning', 'Failed', `Error: ${message}`, container);
  }
}

/** What was a failure when it happened is a wait when it is looked at again. */
function asBackOff(hold: Hold): Hold {
  if (hold.reason !== 'ErrImagePull') return hold;
  return {
    ...hold,
    reason: 'ImagePullBackOff',
    message: `Back-off pulling image: ErrImagePull: ${hold.message}`,
  };
}

function wakeFor({ reason, until }: Hold, now: number): number {
  return reason === 'ErrImagePull' ? Math.min(until, now + SHOW_FAILURE) : until;
}

/** Nothing of the pod is to run any more, but what was is remembered until it is deleted. */
async function stopRest(context: PodContext, pod: Pod, runtime: RuntimePod): Promise<void> {
  context.prober.forget(uidOf(pod));
  const running = runtime.containers.filter(({ state }) => state === 'running');
  await Promise.all(running.map(({ id }) => context.cri.stopContainer(id, gracePeriodOf(pod))));
  for (const { id, ready } of runtime.sandboxes) if (ready) await context.cri.stopPodSandbox(id);
}

/** Keeps of each container its last two runs, and no sandbox of which nothing is kept. */
async function removeOld({ cri }: PodContext, pod: Pod, runtime: RuntimePod): Promise<void> {
  const kept = new Set(containersOf(pod).flatMap(({ spec }) => runsOf(runtime, spec.name).slice(0, 2)));
  const old = runtime.containers.filter((run) => !kept.has(run) && run.state === 'exited');
  await Promise.all(old.map(({ id }) => cri.removeContainer(id)));
  const used = new Set([...kept].map(({ sandboxId }) => sandboxId));
  for (const { id, ready } of runtime.sandboxes.slice(1))
    if (!ready && !used.has(id)) await cri.removePodSandbox(id);
}
