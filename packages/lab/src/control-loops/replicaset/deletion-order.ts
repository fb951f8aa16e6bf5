import { type Pod, timestamp } from '@enid/kube';
import { condition, isReady } from '../shared/pods.ts';

const COST = 'controller.kubernetes.io/pod-deletion-cost';
const PHASES = ['Pending', 'Unknown', 'Running'];

/**
 * The order in which pods are deleted when there are too many (ActivePodsWithRanks): first what would be missed least, or
 * what shares its node with most others of its kind.
 * @param related all active pods of the same kind, by node.
 */
export function inDeletionOrder(pods: readonly Pod[], related: ReadonlyMap<string, number>): Pod[] {
  const keys = new Map(pods.map((pod) => [pod, rank(pod, related)]));
  return [...pods].sort((a, b) => compare(keys.get(a)!, keys.get(b)!));
}

/** Compared one after another, the lowest first. */
function rank(pod: Pod, related: ReadonlyMap<string, number>): number[] {
  const ready = condition(pod, 'Ready');
  const readySince = Date.parse(ready?.lastTransitionTime ?? timestamp(0));
  const restarts = (pod.status?.containerStatuses ?? []).map(({ restartCount }) => restartCount);
  return [
    pod.spec?.nodeName ? 1 : 0,
    PHASES.indexOf(pod.status?.phase ?? 'Pending'),
    isReady(pod) ? 1 : 0,
    Number(pod.metadata?.annotations?.[COST] ?? 0) || 0,
    -(related.get(pod.spec?.nodeName ?? '') ?? 0),
    isReady(pod) ? -readySince : 0,
    -Math.max(0, ...restarts),
    -Date.parse(pod.metadata?.creationTimestamp ?? timestamp(0)),
  ];
}

function compare(a: readonly number[], b: readonly number[]): number {
  const i = a.findIndex((value, at) => value !== b[at]);
  return i < 0 ? 0 : a[i]! - b[i]!;
}
