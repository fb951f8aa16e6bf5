import { type Pod, type ReplicaSet, timestamp } from '@enid/kube';
import { isActive, isAvailable, isDeleted, isFinished, isReady } from '../shared/pods.ts';
import { hasLabels } from '../shared/selectors.ts';
import { withCondition, withoutCondition } from '../shared/status.ts';

type Status = NonNullable<ReplicaSet['status']>;

/** @param failure why pods could not be made or deleted just now. */
export function replicaSetStatus(
  set: ReplicaSet,
  pods: readonly Pod[],
  now: number,
  failure: { readonly reason: 'FailedCreate' | 'FailedDelete'; readonly message: string } | undefined,
): Status {
  const active = pods.filter(isActive);
  const labels = set.spec?.template?.metadata?.labels ?? {};
  const { minReadySeconds } = set.spec ?? {};
  const count = (test: (pod: Pod) => boolean) => active.filter(test).length || undefined;
  const conditions = failure
    ? withCondition(set.status?.conditions, {
        type: 'ReplicaFailure',
        status: 'True',
        ...failure,
        lastTransitionTime: timestamp(now),
      })
    : withoutCondition(set.status?.conditions, 'ReplicaFailure');
  return {
    replicas: active.length,
    fullyLabeledReplicas: count((pod) => hasLabels(labels, pod.metadata?.labels)),
    readyReplicas: count(isReady),
    availableReplicas: count((pod) => isAvailable(pod, now, minReadySeconds)),
    terminatingReplicas: pods.filter((pod) => isDeleted(pod) && !isFinished(pod)).length,
    observedGeneration: set.metadata?.generation,
    conditions: conditions.length > 0 ? conditions : undefined,
  };
}
