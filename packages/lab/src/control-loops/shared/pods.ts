import type { ObjectMeta, Pod } from '@enid/kube';

/** The pod's containers have ended, for ever. */
export const isFinished = (pod: Pod) => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';

/** The pod has not ended and is not about to. */
export const isActive = (pod: Pod) => !isFinished(pod) && !isDeleted(pod);

export const isDeleted = (object: { readonly metadata?: ObjectMeta | undefined }) =>
  object.metadata?.deletionTimestamp !== undefined;

export const condition = (pod: Pod, type: string) => pod.status?.conditions?.find((c) => c.type === type);

export const isReady = (pod: Pod) => condition(pod, 'Ready')?.status === 'True';

/**
 * When a pod will have been ready for long enough, in milliseconds since 1970; undefined when it is not ready.
 * A pod is available from then on.
 */
export function availableAt(pod: Pod, minReadySeconds = 0): number | undefined {
  const ready = condition(pod, 'Ready');
  if (ready?.status !== 'True') return undefined;
  if (minReadySeconds === 0) return 0;
  return ready.lastTransitionTime ? Date.parse(ready.lastTransitionTime) + minReadySeconds * 1000 : undefined;
}

export function isAvailable(pod: Pod, now: number, minReadySeconds = 0): boolean {
  const at = availableAt(pod, minReadySeconds);
  return at !== undefined && at <= now;
}
