import { rm } from 'node:fs/promises';
import { isConflict, isNotFound, type Pod } from '@enid/kube';
import { removeCgroup } from '@enid/linux';
import { nameOf, namespaceOf, uidOf } from '../pod.ts';
import { gracePeriodOf } from '../runtime/labels.ts';
import { podCgroup } from '../runtime/sandbox.ts';
import type { RuntimePod } from '../runtime/state.ts';
import type { PodContext } from './context.ts';
import { killPod } from './kill.ts';
import { publish } from './run.ts';

/**
 * Ends a deleted pod and takes away all that was its, the API's object last.
 * @param gone the object is not there any more.
 * @param signal gives up, as less patience is asked for.
 */
export async function terminatePod(
  context: PodContext,
  pod: Pod,
  gone: boolean,
  read: () => Promise<RuntimePod>,
  signal: AbortSignal,
): Promise<void> {
  const { cri, clock, statuses } = context;
  const uid = uidOf(pod);
  let runtime = await read();
  context.prober.ending(uid);
  if (!gone) publish(context, pod, runtime, new Map(), false);
  await killPod(context, pod, runtime, graceLeft(pod, clock.now()), signal);
  await Promise.all(runtime.sandboxes.map(({ id }) => cri.stopPodSandbox(id)));
  if (!gone) {
    runtime = await read();
    publish(context, pod, runtime, new Map(), true);
    await statuses.flush(pod);
  }
  await cleanUp(context, uid, runtime, context.paths.logs(pod));
  if (gone) return;
  try {
    await context.client.delete(`/api/v1/namespaces/${namespaceOf(pod)}/pods/${nameOf(pod)}`, {
      gracePeriodSeconds: 0,
      preconditions: { uid },
    });
  } catch (error) {
    // It is gone already, or another pod has its name.
    if (!isNotFound(error) && !isConflict(error)) throw error;
  }
}

/** Takes away what the runtime and the kubelet have of a pod that nobody wants any more. */
export async function cleanUp(
  context: PodContext,
  uid: string,
  runtime: RuntimePod,
  logs: string | undefined,
): Promise<void> {
  for (const { id } of runtime.sandboxes) await context.cri.removePodSandbox(id);
  removeCgroup(podCgroup(context.cgroupParent, uid));
  await context.volumes.unmount(uid);
  if (logs) await rm(logs, { recursive: true, force: true });
  context.objects.release(uid);
  context.tokens.release(uid);
  context.prober.forget(uid);
  context.statuses.forget(uid);
  for (const backoff of [context.crashes, context.pulls]) backoff.forget(`${uid}/`);
}

/** In seconds: after a restart of the kubelet, what is left. Nothing when the pod was deleted by force. */
function graceLeft(pod: Pod, now: number): number {
  const grace = gracePeriodOf(pod);
  const deadline = pod.metadata?.deletionTimestamp;
  if (grace === 0 || !deadline) return grace;
  return Math.min(grace, Math.max(Math.ceil((Date.parse(deadline) - now) / 1000), 1));
}
