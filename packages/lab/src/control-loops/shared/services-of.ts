import { keyOf, type Pod, type WorkQueue } from '@enid/kube';
import { isEqual } from './canonical.ts';
import type { ClusterState } from './cluster.ts';
import { hasLabels } from './selectors.ts';
import { hasSelector } from './service-endpoints.ts';

/** Adds the Services to a queue whose endpoints may change with a pod, a node or with themselves. */
export function followServices(state: ClusterState, queue: WorkQueue): (() => void)[] {
  const addServicesOf = ({ metadata }: Pod) => {
    for (const service of state.services.by('namespace', metadata?.namespace ?? '')) {
      if (hasSelector(service) && hasLabels(service.spec!.selector!, metadata?.labels))
        queue.add(keyOf(service));
    }
  };
  return [
    state.services.onChange((old, now) => queue.add(keyOf((now ?? old)!))),
    state.pods.onChange((old, now) => {
      if (old && now && isEqual(essence(old), essence(now))) return;
      if (old) addServicesOf(old);
      if (now) addServicesOf(now);
    }),
    state.nodes.onChange((old, now) => {
      const zone = 'topology.kubernetes.io/zone';
      if (old?.metadata?.labels?.[zone] === now?.metadata?.labels?.[zone]) return;
      for (const pod of state.pods.by('node', keyOf((now ?? old)!))) addServicesOf(pod);
    }),
  ];
}

/** The pods that a Service's selector selects. */
export function podsOf(state: ClusterState, key: string): Pod[] {
  const service = state.services.get(key);
  const selector = service?.spec?.selector ?? {};
  return state.pods
    .by('namespace', service?.metadata?.namespace ?? '')
    .filter((pod) => hasLabels(selector, pod.metadata?.labels));
}

/** What of a pod endpoints are made of. */
function essence({ metadata, spec, status }: Pod): unknown {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')?.status;
  return [
    metadata?.uid,
    metadata?.labels,
    metadata?.deletionTimestamp !== undefined,
    spec?.nodeName,
    status?.podIP,
    status?.podIPs,
    status?.phase,
    ready,
  ];
}
