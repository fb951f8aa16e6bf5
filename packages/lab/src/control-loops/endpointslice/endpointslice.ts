import { type EndpointSlice, isNotFound } from '@enid/kube';
import type { Cluster, Loop } from '../shared/cluster.ts';
import { reconciler } from '../shared/loop.ts';
import { isDeleted } from '../shared/pods.ts';
import { hasSelector, serviceEndpoints } from '../shared/service-endpoints.ts';
import { followServices, podsOf } from '../shared/services-of.ts';
import { MANAGED_BY, planSlices } from './plan.ts';
import { type Triggers, triggersOf, triggerTime } from './trigger-time.ts';

/** Slices that were made and are not seen yet are waited for as long, in milliseconds. */
const UNSEEN = 5_000;

/** Says in EndpointSlices which pods stand behind each Service. */
export function startEndpointSlices(cluster: Cluster): Loop {
  const { state, client, clock } = cluster;
  const loop = reconciler(cluster, 'endpointslice', reconcile);
  /** By Service: the names of slices that were made, and when. Without it a lagging informer would have them made twice. */
  const made = new Map<string, Map<string, number>>();
  /** By Service: what the slices were last written for. */
  const written = new Map<string, Triggers>();
  loop.on(
    ...followServices(state, loop.queue),
    state.endpointSlices.onChange((old, now) => {
      const { namespace, labels } = (now ?? old)!.metadata ?? {};
      const service = labels?.['kubernetes.io/service-name'];
      if (!service) return;
      const key = `${namespace}/${service}`;
      if (now) made.get(key)?.delete(now.metadata?.name ?? '');
      loop.queue.add(key);
    }),
  );
  return loop;

  async function reconcile(key: string): Promise<void> {
    const service = state.services.get(key);
    if (!service) {
      made.delete(key);
      written.delete(key);
    }
    // The slices of a Service that is gone go with their owner.
    if (!service || !hasSelector(service) || isDeleted(service)) return;
    const pending = made.get(key) ?? new Map<string, number>();
    for (const [name, since] of pending) if (clock.now() - since > UNSEEN) pending.delete(name);
    if (pending.size > 0) {
      loop.queue.addAfter(key, UNSEEN);
      return;
    }
    const slices = state.endpointSlices
      .by('service', key)
      .filter(({ metadata }) => metadata?.labels?.['endpointslice.kubernetes.io/managed-by'] === MANAGED_BY);
    const pods = podsOf(state, key);
    const endpoints = serviceEndpoints(service, pods, (name) => state.nodes.get(name));
    const triggers = triggersOf(service, pods);
    const trigger = triggerTime(written.get(key), triggers);
    const { create, update, remove } = planSlices(service, endpoints, slices, trigger);
    const path = `/apis/discovery.k8s.io/v1/namespaces/${service.metadata?.namespace}/endpointslices`;
    made.set(key, pending);
    for (const slice of create) {
      const { metadata } = await client.create<EndpointSlice>(path, slice);
      if (!state.endpointSlices.get(`${metadata?.namespace}/${metadata?.name}`))
        pending.set(metadata!.name!, clock.now());
    }
    for (const slice of update) await client.replace(`${path}/${slice.metadata?.name}`, slice);
    for (const { metadata } of remove) {
      await client.delete(`${path}/${metadata?.name}`).catch((error) => {
        if (!isNotFound(error)) throw error;
      });
    }
    written.set(key, triggers);
  }
}
