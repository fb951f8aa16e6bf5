import { type Deployment, type ReplicaSet, timestamp, type Wire } from '@enid/kube';
import type * as k8s from '@kubernetes/client-node';
import { withCondition, withoutCondition } from '../shared/status.ts';
import { boundsOf } from './rollout.ts';

type Status = NonNullable<Deployment['status']>;
type Condition = Wire<k8s.V1DeploymentCondition>;

const sum = (sets: readonly ReplicaSet[], of: (set: ReplicaSet) => number | undefined) =>
  sets.reduce((total, set) => total + (of(set) ?? 0), 0);

/** @param created the name of a new set that has just been made. */
export function deploymentStatus(
  deployment: Deployment,
  fresh: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  now: number,
  created?: string,
): Status {
  const all = fresh ? [fresh, ...old] : old;
  const available = sum(all, ({ status }) => status?.availableReplicas);
  const wanted = sum(all, ({ spec }) => spec?.replicas);
  const counts = {
    replicas: sum(all, ({ status }) => status?.replicas) || undefined,
    updatedReplicas: fresh?.status?.replicas || undefined,
    readyReplicas: sum(all, ({ status }) => status?.readyReplicas) || undefined,
    availableReplicas: available || undefined,
    unavailableReplicas: Math.max(wanted - available, 0) || undefined,
    terminatingReplicas: sum(all, ({ status }) => status?.terminatingReplicas),
  };
  const status: Status = {
    ...deployment.status,
    ...counts,
    observedGeneration: deployment.metadata?.generation,
  };
  const time = timestamp(now);
  let conditions = withCondition<Condition>(status.conditions, {
    ...availability(deployment, available),
    ...times(time),
  });
  const failure = all
    .flatMap((set) => set.status?.conditions ?? [])
    .find(({ type }) => type === 'ReplicaFailure');
  conditions = failure
    ? withCondition<Condition>(conditions, { ...failure, ...times(time) })
    : withoutCondition(conditions, 'ReplicaFailure');
  const progress = progressing(deployment, status, fresh, now, created);
  if (progress) conditions = withCondition<Condition>(conditions, { ...progress, ...times(time) });
  return { ...status, conditions: steady(deployment.status?.conditions, conditions, progress !== undefined) };
}

const times = (time: string) => ({ lastUpdateTime: time, lastTransitionTime: time });

/** When nothing about a condition has changed, its time of update has not either; but each progress counts. */
function steady(
  before: readonly Condition[] | undefined,
  now: readonly Condition[],
  progressed: boolean,
): Condition[] {
  return now.map((condition) => {
    const old = before?.find(({ type }) => type === condition.type);
    const same =
      old &&
      old.status === condition.status &&
      old.reason === condition.reason &&
      old.message === condition.message;
    if (
      !same ||
      (condition.type === 'Progressing' && progressed && condition.reason === 'ReplicaSetUpdated')
    ) {
      return condition;
    }
    return old;
  });
}

function availability(deployment: Deployment, available: number) {
  const { replicas, maxUnavailable } = boundsOf(deployment);
  return available >= replicas - maxUnavailable
    ? {
        type: 'Available',
        status: 'True',
        reason: 'MinimumReplicasAvailable',
        message: 'Deployment has minimum availability.',
      }
    : {
        type: 'Available',
        status: 'False',
        reason: 'MinimumReplicasUnavailable',
        message: 'Deployment does not have minimum availability.',
      };
}

/** All pods are new ones, and available. */
export function isComplete(deployment: Deployment, status: Status): boolean {
  const { replicas = 1 } = deployment.spec ?? {};
  return [status.updatedReplicas, status.replicas, status.availableReplicas].every(
    (n) => (n ?? 0) === replicas,
  );
}

/** When a rollout that has got nowhere since will have failed, in milliseconds since 1970. */
export function deadline(deployment: Deployment, status: Status): number | undefined {
  const seconds = deployment.spec?.progressDeadlineSeconds ?? 600;
  const condition = status.conditions?.find(({ type }) => type === 'Progressing');
  if (!condition?.lastUpdateTime || condition.status !== 'True' || deployment.spec?.paused) return undefined;
  if (condition.reason === 'NewReplicaSetAvailable') return undefined;
  return Date.parse(condition.lastUpdateTime) + seconds * 1000;
}

/** The Progressing condition; undefined: it stays as it is. */
function progressing(
  deployment: Deployment,
  status: Status,
  fresh: ReplicaSet | undefined,
  now: number,
  created: string | undefined,
): { type: string; status: string; reason: string; message: string } | undefined {
  const old = deployment.status ?? {};
  const before = old.conditions?.find(({ type }) => type === 'Progressing');
  const tell = (value: string, reason: string, message: string) => ({
    type: 'Progressing',
    status: value,
    reason,
    message,
  });
  const subject = fresh
    ? `ReplicaSet "${fresh.metadata?.name}"`
    : `Deployment "${deployment.metadata?.name}"`;
  if (deployment.spec?.paused) return tell('Unknown', 'DeploymentPaused', 'Deployment is paused');
  if (before?.reason === 'DeploymentPaused')
    return tell('Unknown', 'DeploymentResumed', 'Deployment is resumed');
  if (created) return tell('True', 'NewReplicaSetCreated', `Created new replica set "${created}"`);
  const isNew = deployment.metadata?.generation !== old.observedGeneration;
  if (before?.reason === 'NewReplicaSetAvailable' && !isNew && fresh) {
    // A rollout that is over stays so, whatever becomes of its pods.
    if (before.message === `${subject} has successfully progressed.`) return undefined;
  }
  if (isComplete(deployment, status)) {
    return tell('True', 'NewReplicaSetAvailable', `${subject} has successfully progressed.`);
  }
  const gained = (key: 'updatedReplicas' | 'readyReplicas' | 'availableReplicas') =>
    (status[key] ?? 0) > (old[key] ?? 0);
  const retired =
    (status.replicas ?? 0) - (status.updatedReplicas ?? 0) < (old.replicas ?? 0) - (old.updatedReplicas ?? 0);
  if (
    !before ||
    isNew ||
    retired ||
    gained('updatedReplicas') ||
    gained('readyReplicas') ||
    gained('availableReplicas')
  ) {
    return tell('True', 'ReplicaSetUpdated', `${subject} is progressing.`);
  }
  const limit = deadline(deployment, old);
  if (limit !== undefined && now >= limit) {
    return tell('False', 'ProgressDeadlineExceeded', `${subject} has timed out progressing.`);
  }
  return undefined;
}
