import { isNotFound, type KubeObject, keyOf, type List, type Namespace, timestamp } from '@enid/kube';
import type { Cluster, Loop } from '../shared/cluster.ts';
import { discover, pathOf } from '../shared/discovery.ts';
import { reconciler } from '../shared/loop.ts';
import { withCondition } from '../shared/status.ts';

const FINALIZER = 'kubernetes';
/** How long to wait for what is ending by itself, such as pods, before looking again, in milliseconds. */
const PATIENCE = 500;

/** Empties namespaces that are being deleted, and lets them go when they are empty. */
export function startNamespaces(cluster: Cluster): Loop {
  const { state, client, clock } = cluster;
  const loop = reconciler(cluster, 'namespace', reconcile, 10);
  loop.on(state.namespaces.onChange((old, now) => loop.queue.add(keyOf((now ?? old)!))));
  return loop;

  async function reconcile(name: string): Promise<void> {
    const namespace = state.namespaces.get(name);
    if (!namespace?.metadata?.deletionTimestamp || !namespace.spec?.finalizers?.includes(FINALIZER)) return;
    const left = await empty(name);
    if (left.size === 0) await release(namespace);
    else {
      await tell(namespace, left);
      loop.queue.addAfter(name, PATIENCE);
    }
  }

  /** @returns what is left, by resource: its number, and what it still waits for. */
  async function empty(namespace: string): Promise<Map<string, number>> {
    const resources = (await discover(client)).filter(
      ({ namespaced, verbs }) => namespaced && verbs.includes('list') && verbs.includes('delete'),
    );
    const left = new Map<string, number>();
    const work = resources.map(async (resource) => {
      const path = pathOf(resource, namespace);
      const { items } = await client.get<List<KubeObject>>(path);
      const stay = await Promise.all(items.map((object) => remove(path, object)));
      const count = stay.filter(Boolean).length;
      if (count > 0) left.set(resource.plural, count);
    });
    await Promise.all(work);
    return left;
  }

  /** @returns whether it is still there. */
  async function remove(path: string, { metadata }: KubeObject): Promise<boolean> {
    if (metadata?.deletionTimestamp) return true;
    try {
      const answer = await client.delete(`${path}/${metadata?.name}`, { propagationPolicy: 'Background' });
      // An object for an answer is one that goes later.
      return (answer as KubeObject).kind !== 'Status';
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  async function release(namespace: Namespace): Promise<void> {
    const finalizers = namespace.spec!.finalizers!.filter((finalizer) => finalizer !== FINALIZER);
    const body = { ...namespace, apiVersion: 'v1', kind: 'Namespace', spec: { finalizers } };
    await client.replace(`/api/v1/namespaces/${namespace.metadata!.name}/finalize`, body);
  }

  async function tell(namespace: Namespace, left: ReadonlyMap<string, number>): Promise<void> {
    const counts = [...left].sort().map(([plural, count]) => `${plural}. has ${count} resource instances`);
    const conditions = withCondition(namespace.status?.conditions, {
      type: 'NamespaceContentRemaining',
      status: 'True',
      reason: 'SomeResourcesRemain',
      message: `Some resources are remaining: ${counts.join(', ')}`,
      lastTransitionTime: timestamp(clock.now()),
    });
    const before = namespace.status?.conditions?.find(({ type }) => type === 'NamespaceContentRemaining');
    const now = conditions.find(({ type }) => type === 'NamespaceContentRemaining');
    if (before?.message === now?.message) return;
    await client.patch(`/api/v1/namespaces/${namespace.metadata!.name}/status`, { status: { conditions } });
  }
}
