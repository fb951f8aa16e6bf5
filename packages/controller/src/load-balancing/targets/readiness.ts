/** Readiness gates: pods that count as ready only when a load balancer finds them healthy. */
import type { TargetHealth } from '@aws-sdk/client-elastic-load-balancing-v2';
import { isNotFound, type KubeClient, type Pod, type PodCondition, timestamp } from '@enid/kube';
import { readinessGate } from './objects.ts';

/** Whether a pod waits for the target group of a binding. */
export function isGated({ spec }: Pod, binding: string): boolean {
  return Boolean(spec?.readinessGates?.some(({ conditionType }) => conditionType === readinessGate(binding)));
}

/** What a pod's condition says of the health of its target, `undefined` for one that is not there yet. */
export function conditionOf(
  health: TargetHealth | undefined,
): Pick<PodCondition, 'status' | 'reason' | 'message'> {
  const { State: state, Reason: reason, Description: message } = health ?? {};
  if (state === undefined) return { status: 'Unknown', reason: 'Elb.RegistrationInProgress', message: '' };
  // With health checks switched off there is nothing to wait for.
  const isHealthy = state === 'healthy' || state === 'unavailable';
  const status = isHealthy ? 'True' : state === 'initial' ? 'Unknown' : 'False';
  return { status, reason: isHealthy ? '' : (reason ?? ''), message: isHealthy ? '' : (message ?? '') };
}

/**
 * Puts the condition of a binding into a pod's status, if it does not say so already.
 * @returns whether the pod may be ready, as far as this binding is concerned.
 */
export async function tellReadiness(
  client: KubeClient,
  pod: Pod,
  binding: string,
  health: TargetHealth | undefined,
  now: number,
): Promise<boolean> {
  const type = readinessGate(binding);
  const wanted = conditionOf(health);
  const old = pod.status?.conditions?.find((condition) => condition.type === type);
  const isReady = wanted.status === 'True';
  if (
    old?.status === wanted.status &&
    (old.reason ?? '') === wanted.reason &&
    (old.message ?? '') === wanted.message
  )
    return isReady;
  const lastTransitionTime = old?.status === wanted.status ? old.lastTransitionTime : timestamp(now);
  const { namespace, name, uid } = pod.metadata!;
  const condition = { type, ...wanted, lastTransitionTime };
  const patch = { metadata: { uid }, status: { conditions: [condition] } };
  await client
    .patch(`/api/v1/namespaces/${namespace}/pods/${name}/status`, patch, 'strategic')
    .catch((error) => {
      if (!isNotFound(error)) throw error;
    });
  return isReady;
}
