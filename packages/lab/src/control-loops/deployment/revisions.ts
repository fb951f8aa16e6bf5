import type { Deployment, PodTemplate, ReplicaSet } from '@enid/kube';
import { canonical } from '../shared/canonical.ts';

export const REVISION = 'deployment.kubernetes.io/revision';
export const DESIRED = 'deployment.kubernetes.io/desired-replicas';
export const MAX = 'deployment.kubernetes.io/max-replicas';
export const HASH = 'pod-template-hash';

/** Annotations that are the Deployment's alone. */
const OWN = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  REVISION,
  DESIRED,
  MAX,
  'deprecated.deployment.rollback.to',
]);

export const revisionOf = (set: ReplicaSet) => Number(set.metadata?.annotations?.[REVISION] ?? 0);

/** The oldest first. */
export function byAge(a: ReplicaSet, b: ReplicaSet): number {
  const [x, y] = [a, b].map(({ metadata }) => `${metadata?.creationTimestamp} ${metadata?.name}`) as [
    string,
    string,
  ];
  return x < y ? -1 : 1;
}

const withoutHash = (template: PodTemplate | undefined) => {
  const { [HASH]: _, ...labels } = template?.metadata?.labels ?? {};
  return canonical({
    ...template,
    metadata: { ...template?.metadata, labels, creationTimestamp: undefined },
  });
};

/** The ReplicaSet whose pods are as the Deployment wants them. */
export function findNew(deployment: Deployment, sets: readonly ReplicaSet[]): ReplicaSet | undefined {
  const wanted = withoutHash(deployment.spec?.template);
  return [...sets].sort(byAge).find(({ spec }) => withoutHash(spec?.template) === wanted);
}

/** A revision of its own for the new set: above all others, but the same as long as it is the newest. */
export function nextRevision(fresh: ReplicaSet | undefined, old: readonly ReplicaSet[]): number {
  const highest = Math.max(0, ...old.map(revisionOf));
  return Math.max(highest + 1, fresh ? revisionOf(fresh) : 0);
}

/** The annotations of a new set: the Deployment's, such as the cause of the change, and those about its size. */
export function annotationsFor(
  deployment: Deployment,
  set: ReplicaSet | undefined,
  own: { readonly revision: number; readonly desired: number; readonly max: number },
): Record<string, string> {
  const copied = Object.entries(deployment.metadata?.annotations ?? {}).filter(([name]) => !OWN.has(name));
  return {
    ...set?.metadata?.annotations,
    ...Object.fromEntries(copied),
    [REVISION]: String(own.revision),
    [DESIRED]: String(own.desired),
    [MAX]: String(own.max),
  };
}

/** Old sets without pods that are more than the history may hold, the oldest revisions first. */
export function beyondHistory(deployment: Deployment, old: readonly ReplicaSet[]): ReplicaSet[] {
  const { revisionHistoryLimit = 10 } = deployment.spec ?? {};
  const live = old.filter(({ metadata }) => !metadata?.deletionTimestamp);
  const excess = live.length - revisionHistoryLimit;
  if (excess <= 0) return [];
  return live
    .sort((a, b) => revisionOf(a) - revisionOf(b))
    .slice(0, excess)
    .filter(
      ({ spec, status, metadata }) =>
        spec?.replicas === 0 &&
        (status?.replicas ?? 0) === 0 &&
        (metadata?.generation ?? 0) <= (status?.observedGeneration ?? 0),
    );
}
