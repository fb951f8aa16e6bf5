import { isNotFound, keyOf, type Node, type Pod, timestamp } from '@enid/kube';
import type { Cluster, Loop } from '../shared/cluster.ts';
import { reconciler } from '../shared/loop.ts';
import { isDeleted, isFinished } from '../shared/pods.ts';

/** How long a node may be away before its pods are given up, in milliseconds: it may be registering anew. */
const QUARANTINE = 10_000;

/** Removes pods that no kubelet will ever remove: those of nodes that are gone, and deleted ones that never had a node. */
export function startPodGc(cluster: Cluster): Loop {
  const { state, client, clock } = cluster;
  const recorder = cluster.recorder('pod-garbage-collector');
  const loop = reconciler(cluster, 'pod-gc', reconcile, 20);
  /** When a node was first missed. */
  const missing = new Map<string, number>();
  loop.on(
    state.pods.onChange((_old, now) => {
      if (now) loop.queue.add(keyOf(now));
    }),
    state.nodes.onChange((old, now) => {
      const name = keyOf((now ?? old)!);
      missing.delete(name);
      if (!now) for (const pod of state.pods.by('node', name)) loop.queue.add(keyOf(pod));
    }),
  );
  return loop;

  async function reconcile(key: string): Promise<void> {
    const pod = state.pods.get(key);
    if (!pod) return;
    const nodeName = pod.spec?.nodeName;
    if (!nodeName) {
      if (isDeleted(pod)) await remove(pod);
      return;
    }
    if (state.nodes.get(nodeName)) return;
    const now = clock.now();
    const since = missing.get(nodeName) ?? now;
    missing.set(nodeName, since);
    if (now - since < QUARANTINE) {
      loop.queue.addAfter(key, since + QUARANTINE - now);
      return;
    }
    if (await isThere(nodeName)) return;
    await remove(pod, nodeName);
  }

  /** Asks the server itself: the informer may be behind. */
  async function isThere(nodeName: string): Promise<boolean> {
    try {
      await client.get<Node>(`/api/v1/nodes/${nodeName}`);
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  async function remove(pod: Pod, nodeName?: string): Promise<void> {
    const { namespace, name, uid = '' } = pod.metadata!;
    const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
    if (nodeName && !isFinished(pod)) {
      const orphaned = {
        type: 'DisruptionTarget',
        status: 'True',
        reason: 'DeletionByPodGC',
        message: 'PodGC: node no longer exists',
        lastTransitionTime: timestamp(clock.now()),
      };
      const status = { phase: 'Failed', conditions: [orphaned] };
      await client.patch(`${path}/status`, { metadata: { uid }, status }, 'strategic');
      const about = { ...pod, apiVersion: 'v1', kind: 'Pod' };
      recorder.event(about, 'Warning', 'NodeNotFound', `Node ${nodeName} is gone: the pod is deleted`);
    }
    await client.delete(path, { gracePeriodSeconds: 0, preconditions: { uid } });
  }
}
