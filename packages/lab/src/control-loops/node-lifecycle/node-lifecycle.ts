import { isNotFound, keyOf, type Node, type Pod, timestamp } from '@enid/kube';
import { isEqual } from '../shared/canonical.ts';
import type { Cluster, Loop } from '../shared/cluster.ts';
import { reconciler } from '../shared/loop.ts';
import { condition, isDeleted } from '../shared/pods.ts';
import { evictionTime, lastHeard, taintsFor, unknownConditions } from './health.ts';

/** A node that is not heard of for so long is unknown, in milliseconds. */
const GRACE = 40_000;

/** Watches over nodes: says which are not heard of, taints them, and takes away the pods that do not tolerate it. */
export function startNodeLifecycle(cluster: Cluster): Loop {
  const { state, client, clock } = cluster;
  const recorder = cluster.recorder('node-controller');
  /** When a lease's change was seen, by node: our own clock, so that a node's wrong one does not matter. */
  const seen = new Map<string, number>();
  const nodes = reconciler(cluster, 'node', reconcileNode);
  const evictions = reconciler(cluster, 'taint-eviction', reconcilePod, 20);

  nodes.on(
    state.nodeLeases.onChange((old, now) => {
      const name = now?.metadata?.name;
      if (!name) return;
      seen.set(name, clock.now());
      // Others look again when the time of their last lease is over.
      if (!old) nodes.queue.add(name);
    }),
    state.nodes.onChange((old, now) => {
      const name = keyOf((now ?? old)!);
      if (!now) seen.delete(name);
      nodes.queue.add(name);
      if (now && !isEqual(old?.spec?.taints, now.spec?.taints)) {
        for (const pod of state.pods.by('node', name)) evictions.queue.add(keyOf(pod));
      }
    }),
  );
  evictions.on(
    state.pods.onChange((old, now) => {
      if (now?.spec?.nodeName && old?.spec?.nodeName !== now.spec.nodeName) evictions.queue.add(keyOf(now));
    }),
  );
  return {
    async close() {
      await Promise.all([nodes.close(), evictions.close()]);
    },
  };

  async function reconcileNode(name: string): Promise<void> {
    const node = state.nodes.get(name);
    if (!node) return;
    const now = clock.now();
    const heard = Math.max(lastHeard(node, state.nodeLeases.get(name)), seen.get(name) ?? 0);
    const silent = now - heard >= GRACE;
    const conditions = silent ? unknownConditions(node, now) : undefined;
    if (conditions) {
      await client.patch(`/api/v1/nodes/${name}/status`, {
        metadata: { resourceVersion: node.metadata?.resourceVersion },
        status: { conditions },
      });
      tell(node, `Node ${name} status is now: NodeNotReady`);
      // Its taints follow when the change is seen.
      return;
    }
    if (!silent) nodes.queue.addAfter(name, heard + GRACE - now);
    await taint(node, now);
    if (node.status?.conditions?.find(({ type }) => type === 'Ready')?.status !== 'True')
      await markPods(name, now);
  }

  async function taint(node: Node, now: number): Promise<void> {
    const taints = taintsFor(node, now);
    if (isEqual(taints, node.spec?.taints ?? [])) return;
    await client.patch(`/api/v1/nodes/${node.metadata?.name}`, {
      metadata: { resourceVersion: node.metadata?.resourceVersion },
      spec: { taints: taints.length > 0 ? taints : null },
    });
  }

  /** Pods on a node in trouble are not ready: Services send them nothing. */
  async function markPods(node: string, now: number): Promise<void> {
    const ready = state.pods.by('node', node).filter((pod) => condition(pod, 'Ready')?.status === 'True');
    await Promise.all(
      ready.map((pod) => {
        const changed = { type: 'Ready', status: 'False', lastTransitionTime: timestamp(now) };
        const { namespace, name } = pod.metadata!;
        const path = `/api/v1/namespaces/${namespace}/pods/${name}/status`;
        return client.patch(path, { status: { conditions: [changed] } }, 'strategic').catch((error) => {
          if (!isNotFound(error)) throw error;
        });
      }),
    );
  }

  async function reconcilePod(key: string): Promise<void> {
    const pod = state.pods.get(key);
    const node = pod?.spec?.nodeName ? state.nodes.get(pod.spec.nodeName) : undefined;
    if (!pod || !node || isDeleted(pod)) return;
    const now = clock.now();
    const at = evictionTime(pod, node, now);
    if (at === undefined) return;
    if (at > now) {
      evictions.queue.addAfter(key, at - now);
      return;
    }
    await evict(pod);
  }

  async function evict(pod: Pod): Promise<void> {
    const { namespace, name, uid = '' } = pod.metadata!;
    const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
    const disrupted = {
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'DeletionByTaintManager',
      message: 'Taint manager: deleting due to NoExecute taint',
      lastTransitionTime: timestamp(clock.now()),
    };
    try {
      await client.patch(`${path}/status`, { status: { conditions: [disrupted] } }, 'strategic');
      await client.delete(path, { preconditions: { uid } });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return;
    }
    const about = { ...pod, apiVersion: 'v1', kind: 'Pod' };
    recorder.event(about, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${namespace}/${name}`);
  }

  function tell(node: Node, message: string): void {
    recorder.event({ ...node, apiVersion: 'v1', kind: 'Node' }, 'Normal', 'NodeNotReady', message);
  }
}
