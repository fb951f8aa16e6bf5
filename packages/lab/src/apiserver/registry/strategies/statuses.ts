import type { Fields } from '../../object.ts';
import type { Resource } from '../resource.ts';

/** What statuses say from the beginning, by storage: numbers that Go's types always write. */
const STATUSES: Readonly<Record<string, Fields>> = {
  'replicasets.apps': { replicas: 0 },
  'statefulsets.apps': { replicas: 0, availableReplicas: 0 },
  'daemonsets.apps': {
    currentNumberScheduled: 0,
    desiredNumberScheduled: 0,
    numberMisscheduled: 0,
    numberReady: 0,
  },
  'poddisruptionbudgets.policy': {
    currentHealthy: 0,
    desiredHealthy: 0,
    disruptionsAllowed: 0,
    expectedPods: 0,
  },
  'ingresses.networking.k8s.io': { loadBalancer: {} },
};

/** The status of a new object; undefined of custom resources. */
export function newStatus({ storage, custom }: Resource): Fields | undefined {
  return custom ? undefined : { ...STATUSES[storage] };
}
