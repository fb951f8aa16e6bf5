import { type Pod, type PodDisruptionBudget, timestamp } from '@enid/kube';
import { intOrPercent } from '../shared/int-or-percent.ts';
import { isDeleted, isFinished, isReady } from '../shared/pods.ts';
import { withCondition } from '../shared/status.ts';

type Status = NonNullable<PodDisruptionBudget['status']>;

/** An eviction that was allowed and after which the pod is still there for so long did not happen, in milliseconds. */
const EVICTION = 2 * 60_000;

/** Whether the budget's numbers are parts of how many pods there are to be. */
export const isRelative = ({ spec }: PodDisruptionBudget) =>
  spec?.maxUnavailable !== undefined || typeof spec?.minAvailable === 'string';

/**
 * How many of the pods may be evicted now.
 * @param pods those that the budget selects.
 * @param wanted how many there are to be, by what manages them.
 */
export function budgetStatus(
  budget: PodDisruptionBudget,
  pods: readonly Pod[],
  wanted: number,
  now: number,
): Status {
  const { minAvailable, maxUnavailable } = budget.spec ?? {};
  const evicted = Object.entries(budget.status?.disruptedPods ?? {}).filter(([name, since]) => {
    const pod = pods.find(({ metadata }) => metadata?.name === name);
    return pod && !isDeleted(pod) && now - Date.parse(since) < EVICTION;
  });
  const names = new Set(evicted.map(([name]) => name));
  const live = pods.filter((pod) => !isFinished(pod) && !isDeleted(pod));
  const healthy = live.filter((pod) => isReady(pod) && !names.has(pod.metadata?.name ?? '')).length;
  const expected = isRelative(budget) ? wanted : pods.filter((pod) => !isFinished(pod)).length;
  const desired =
    maxUnavailable !== undefined
      ? Math.max(expected - intOrPercent(maxUnavailable, expected, 'up'), 0)
      : intOrPercent(minAvailable ?? 0, expected, 'up');
  const allowed = expected > 0 ? Math.max(healthy - desired, 0) : 0;
  return {
    ...budget.status,
    disruptedPods: evicted.length > 0 ? Object.fromEntries(evicted) : undefined,
    currentHealthy: healthy,
    desiredHealthy: desired,
    expectedPods: expected,
    disruptionsAllowed: allowed,
    observedGeneration: budget.metadata?.generation,
    conditions: withCondition(budget.status?.conditions, {
      type: 'DisruptionAllowed',
      status: allowed > 0 ? 'True' : 'False',
      reason: allowed > 0 ? 'SufficientPods' : 'InsufficientPods',
      message: '',
      lastTransitionTime: timestamp(now),
      observedGeneration: budget.metadata?.generation,
    }),
  };
}

/** When an eviction that has not happened is forgotten, in milliseconds since 1970. */
export function nextChange(status: Status): number | undefined {
  const times = Object.values(status.disruptedPods ?? {}).map((since) => Date.parse(since) + EVICTION);
  return times.length > 0 ? Math.min(...times) : undefined;
}
