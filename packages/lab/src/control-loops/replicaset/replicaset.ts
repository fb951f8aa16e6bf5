import { keyOf, type Pod, type ReplicaSet } from '@enid/kube';
import { claim, suitors } from '../shared/claim.ts';
import type { Cluster, Loop } from '../shared/cluster.ts';
import { EXPECTATION_LIFETIME, Expectations } from '../shared/expectations.ts';
import { reconciler } from '../shared/loop.ts';
import { controllerOf } from '../shared/owners.ts';
import { PodControl, podFrom } from '../shared/pod-control.ts';
import { availableAt, isActive } from '../shared/pods.ts';
import { followPods } from '../shared/pods-of.ts';
import { writeStatus } from '../shared/status.ts';
import { inDeletionOrder } from './deletion-order.ts';
import { replicaSetStatus } from './status.ts';

const TYPE = { apiVersion: 'apps/v1', kind: 'ReplicaSet' };
/** How many pods of a set are made or deleted at a time. */
const BURST = 500;

/** Keeps as many pods as each ReplicaSet wants. */
export function startReplicaSets(cluster: Cluster): Loop {
  const { state, client, clock } = cluster;
  const recorder = cluster.recorder('replicaset-controller');
  const expectations = new Expectations(clock);
  const loop = reconciler(cluster, 'replicaset', reconcile);
  const { queue } = loop;

  loop.on(
    state.replicaSets.onChange((old, now) => {
      const key = keyOf((now ?? old)!);
      if (!now) expectations.forget(key);
      queue.add(key);
    }),
    followPods(state.pods, TYPE.kind, queue, expectations, (pod) =>
      suitors(pod, state.replicaSets.by('namespace', pod.metadata?.namespace ?? '')),
    ),
  );
  return loop;

  async function reconcile(key: string): Promise<void> {
    const found = state.replicaSets.get(key);
    if (!found) return;
    const set = { ...found, ...TYPE };
    const { uid = '', namespace = '' } = set.metadata ?? {};
    const path = `/apis/apps/v1/namespaces/${namespace}/replicasets/${set.metadata?.name}`;
    const settled = expectations.satisfied(key);
    if (!settled) queue.addAfter(key, EXPECTATION_LIFETIME);
    const pods = await claim<Pod>({
      client,
      owner: set,
      ...TYPE,
      selector: set.spec?.selector,
      owned: state.pods.by('controller', uid),
      orphans: state.pods.by('orphans', namespace),
      mayAdopt: isActive,
      pathOf: (pod) => `/api/v1/namespaces/${namespace}/pods/${pod.metadata?.name}`,
    });
    const failure =
      settled && !set.metadata?.deletionTimestamp
        ? await replicate(key, set, pods.filter(isActive))
        : undefined;
    await writeStatus(client, path, set, replicaSetStatus(set, pods, clock.now(), failure));
    lookAgain(key, set, pods);
    if (failure) throw failure.error;
  }

  /** Makes or deletes pods. @returns what went wrong with it. */
  async function replicate(key: string, set: ReplicaSet & typeof TYPE, pods: readonly Pod[]) {
    const control = new PodControl(client, recorder, set, key, expectations);
    const missing = (set.spec?.replicas ?? 1) - pods.length;
    try {
      if (missing > 0) {
        const pod = podFrom(set, set.spec!.template!);
        await control.create(Array<Pod>(Math.min(missing, BURST)).fill(pod));
      } else if (missing < 0) {
        const related = relatedByNode(set);
        await control.delete(inDeletionOrder(pods, related).slice(0, Math.min(-missing, BURST)));
      }
    } catch (error) {
      const reason = missing > 0 ? ('FailedCreate' as const) : ('FailedDelete' as const);
      return { reason, message: (error as Error).message, error };
    }
    return undefined;
  }

  /** How many pods there are on each node of this set and of the others of its Deployment. */
  function relatedByNode(set: ReplicaSet): Map<string, number> {
    const owner = controllerOf(set);
    const sets = owner ? state.replicaSets.by('controller', owner.uid) : [set];
    const counts = new Map<string, number>();
    for (const { metadata } of sets) {
      for (const pod of state.pods.by('controller', metadata?.uid ?? '')) {
        const node = pod.spec?.nodeName;
        if (node && isActive(pod)) counts.set(node, (counts.get(node) ?? 0) + 1);
      }
    }
    return counts;
  }

  /** Time alone makes a ready pod available. */
  function lookAgain(key: string, set: ReplicaSet, pods: readonly Pod[]): void {
    const { minReadySeconds = 0 } = set.spec ?? {};
    if (minReadySeconds === 0) return;
    const now = clock.now();
    const times = pods.map((pod) => availableAt(pod, minReadySeconds) ?? 0).filter((at) => at > now);
    if (times.length > 0) queue.addAfter(key, Math.min(...times) - now);
  }
}
