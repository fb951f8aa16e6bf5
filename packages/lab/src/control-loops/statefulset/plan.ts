import type { Pod, PodTemplate, StatefulSet } from '@enid/kube';
import { REVISION_HASH } from '../shared/history.ts';
import { intOrPercent } from '../shared/int-or-percent.ts';
import { isAvailable, isDeleted, isFinished, isReady } from '../shared/pods.ts';

/** The number at the end of a pod's name; undefined when it is not the set's by name. */
export function ordinalOf(set: StatefulSet, pod: Pod): number | undefined {
  const prefix = `${set.metadata?.name}-`;
  const name = pod.metadata?.name ?? '';
  const rest = name.startsWith(prefix) ? name.slice(prefix.length) : '';
  return /^(0|[1-9]\d*)$/.test(rest) ? Number(rest) : undefined;
}

/** The template for one pod: it knows its name and number, and DNS knows it by its name. */
export function templateFor(
  set: StatefulSet,
  template: PodTemplate,
  ordinal: number,
  revision: string,
): PodTemplate {
  const name = `${set.metadata?.name}-${ordinal}`;
  const labels = {
    ...template.metadata?.labels,
    'statefulset.kubernetes.io/pod-name': name,
    'apps.kubernetes.io/pod-index': String(ordinal),
    [REVISION_HASH]: revision,
  };
  return {
    metadata: { ...template.metadata, labels },
    spec: { ...template.spec!, hostname: name, subdomain: set.spec?.serviceName },
  };
}

export type Revisions = { readonly current: string; readonly update: string };

export type StatefulPlan = {
  /** Ordinals, with the revision that each is made of. */
  readonly create: readonly { readonly ordinal: number; readonly revision: string }[];
  readonly remove: readonly Pod[];
};

const revisionOf = (pod: Pod) => pod.metadata?.labels?.[REVISION_HASH] ?? '';

export function bounds(set: StatefulSet): { readonly first: number; readonly end: number } {
  const first = set.spec?.ordinals?.start ?? 0;
  return { first, end: first + (set.spec?.replicas ?? 1) };
}

/**
 * What comes next. In order (`OrderedReady`) one thing at a time: pods are made from the first to the last, each when those
 * before it are there, and removed from the last to the first; in parallel all at once. An update goes from the last to the
 * first down to the partition, each when the one before is available again.
 */
export function planPods(
  set: StatefulSet,
  pods: readonly Pod[],
  revisions: Revisions,
  now: number,
): StatefulPlan {
  const { podManagementPolicy, updateStrategy, minReadySeconds = 0 } = set.spec ?? {};
  const ordered = podManagementPolicy !== 'Parallel';
  const { first, end } = bounds(set);
  const partition = updateStrategy?.rollingUpdate?.partition ?? 0;
  const byOrdinal = new Map(pods.map((pod) => [ordinalOf(set, pod) ?? -1, pod]));
  const wellAt = (ordinal: number) => {
    const pod = byOrdinal.get(ordinal);
    return pod !== undefined && !isDeleted(pod) && isAvailable(pod, now, minReadySeconds);
  };
  const plan = { create: [] as { ordinal: number; revision: string }[], remove: [] as Pod[] };

  for (let ordinal = first; ordinal < end; ordinal++) {
    const pod = byOrdinal.get(ordinal);
    if (!pod) {
      const isOld = updateStrategy?.type !== 'OnDelete' && ordinal < first + partition;
      plan.create.push({ ordinal, revision: isOld ? revisions.current : revisions.update });
    } else if (isFinished(pod) && !isDeleted(pod)) plan.remove.push(pod);
    if (ordered && !wellAt(ordinal)) return plan;
  }

  const condemned = pods
    .filter((pod) => {
      const ordinal = ordinalOf(set, pod) ?? -1;
      return ordinal >= 0 && (ordinal < first || ordinal >= end);
    })
    .sort((a, b) => ordinalOf(set, b)! - ordinalOf(set, a)!);
  if (ordered) {
    const [last] = condemned;
    if (last && !isDeleted(last)) plan.remove.push(last);
    if (last) return plan;
  } else plan.remove.push(...condemned.filter((pod) => !isDeleted(pod)));

  if (updateStrategy?.type === 'OnDelete' || plan.create.length > 0) return plan;
  const most = Math.max(
    intOrPercent(updateStrategy?.rollingUpdate?.maxUnavailable ?? 1, end - first, 'up'),
    1,
  );
  let unavailable = 0;
  for (let ordinal = first; ordinal < end; ordinal++) if (!wellAt(ordinal)) unavailable++;
  for (let ordinal = end - 1; ordinal >= first + partition; ordinal--) {
    const pod = byOrdinal.get(ordinal)!;
    const outdated = revisionOf(pod) !== revisions.update;
    if (outdated && !isDeleted(pod)) {
      // What is not available already costs nothing to replace.
      if (wellAt(ordinal)) {
        if (unavailable >= most) return plan;
        unavailable++;
      }
      if (!plan.remove.includes(pod)) plan.remove.push(pod);
    }
    if (!wellAt(ordinal) && unavailable >= most) return plan;
  }
  return plan;
}

type Status = NonNullable<StatefulSet['status']>;

/** @param revisions their names. */
export function statefulSetStatus(
  set: StatefulSet,
  pods: readonly Pod[],
  hashes: Revisions,
  revisions: Revisions,
  now: number,
): Status {
  const { replicas = 1, minReadySeconds = 0 } = set.spec ?? {};
  const live = pods.filter((pod) => !isDeleted(pod));
  const count = (test: (pod: Pod) => boolean) => live.filter(test).length;
  const updated = count((pod) => revisionOf(pod) === hashes.update);
  const ready = count(isReady);
  // A rollout that is over makes the new revision the current one.
  const partition = set.spec?.updateStrategy?.rollingUpdate?.partition ?? 0;
  const isOver =
    set.spec?.updateStrategy?.type !== 'OnDelete' &&
    partition === 0 &&
    updated === replicas &&
    ready === replicas &&
    live.length === replicas;
  const current = isOver ? revisions.update : revisions.current;
  return {
    ...set.status,
    replicas: pods.length,
    readyReplicas: ready || undefined,
    availableReplicas: count((pod) => isAvailable(pod, now, minReadySeconds)),
    currentReplicas: (isOver ? updated : count((pod) => revisionOf(pod) === hashes.current)) || undefined,
    updatedReplicas: updated || undefined,
    currentRevision: current,
    updateRevision: revisions.update,
    observedGeneration: set.metadata?.generation,
    collisionCount: set.status?.collisionCount ?? 0,
  };
}
