import { keyOf, type Pod } from '@enid/kube';
import type { Cluster, Loop } from '../shared/cluster.ts';
import { reconciler } from '../shared/loop.ts';
import { controllerOf } from '../shared/owners.ts';
import { selects } from '../shared/selectors.ts';
import { writeStatus } from '../shared/status.ts';
import { budgetStatus, nextChange } from './status.ts';

/** Says on each PodDisruptionBudget how many pods may be evicted: the API server refuses evictions by that. */
export function startDisruption(cluster: Cluster): Loop {
  const { state, client, clock } = cluster;
  const loop = reconciler(cluster, 'disruption', reconcile);
  const addBudgetsOf = (pod: Pod | undefined) => {
    for (const budget of state.disruptionBudgets.by('namespace', pod?.metadata?.namespace ?? '')) {
      if (selects(budget.spec?.selector, pod?.metadata?.labels)) loop.queue.add(keyOf(budget));
    }
  };
  const addAllIn = (namespace: string | undefined) => {
    for (const budget of state.disruptionBudgets.by('namespace', namespace ?? ''))
      loop.queue.add(keyOf(budget));
  };
  loop.on(
    state.disruptionBudgets.onChange((old, now) => loop.queue.add(keyOf((now ?? old)!))),
    state.pods.onChange((old, now) => {
      addBudgetsOf(old);
      addBudgetsOf(now);
    }),
    // How many pods are wanted is said there.
    ...[state.deployments, state.replicaSets, state.statefulSets].map((informer) =>
      informer.onChange((old, now) => {
        if (old?.spec?.replicas !== now?.spec?.replicas) addAllIn((now ?? old)!.metadata?.namespace);
      }),
    ),
  );
  return loop;

  async function reconcile(key: string): Promise<void> {
    const found = state.disruptionBudgets.get(key);
    if (!found) return;
    const budget = { ...found, apiVersion: 'policy/v1', kind: 'PodDisruptionBudget' };
    const { namespace = '', name } = budget.metadata ?? {};
    const pods = state.pods
      .by('namespace', namespace)
      .filter((pod) => selects(budget.spec?.selector, pod.metadata?.labels));
    const status = budgetStatus(budget, pods, wantedOf(pods), clock.now());
    const path = `/apis/policy/v1/namespaces/${namespace}/poddisruptionbudgets/${name}`;
    await writeStatus(client, path, budget, status);
    const at = nextChange(status);
    if (at !== undefined) loop.queue.addAfter(key, Math.max(at - clock.now(), 0) + 1);
  }

  /** How many pods those who manage these want, together. */
  function wantedOf(pods: readonly Pod[]): number {
    const wanted = new Map<string, number>();
    for (const pod of pods) {
      const owner = controllerOf(pod);
      if (!owner) continue;
      const key = `${pod.metadata?.namespace}/${owner.name}`;
      const set = owner.kind === 'StatefulSet' ? state.statefulSets.get(key) : state.replicaSets.get(key);
      const above = set && controllerOf(set);
      const deployment = above && state.deployments.get(`${pod.metadata?.namespace}/${above.name}`);
      const scale = deployment ?? set;
      if (scale?.metadata?.uid) wanted.set(scale.metadata.uid, scale.spec?.replicas ?? 1);
    }
    return [...wanted.values()].reduce((sum, replicas) => sum + replicas, 0);
  }
}
