/** Groups coordination, events, policy and scheduling. */
import type { Numbers } from './notation.ts';

export const CLUSTER: Numbers = {
  Lease: 'metadata=1 spec=2',
  LeaseSpec: `
    holderIdentity*=1 leaseDurationSeconds*=2 acquireTime=3 renewTime=4 leaseTransitions*=5 strategy*=6
    preferredHolder*=7`,
  EventsV1Event: `
    metadata=1 eventTime=2 series=3 reportingController=4 reportingInstance=5 action=6 reason=7 regarding=8
    related=9 note=10 type=11 deprecatedSource=12 deprecatedFirstTimestamp=13 deprecatedLastTimestamp=14
    deprecatedCount=15`,
  EventsV1EventSeries: 'count*=1 lastObservedTime=2',
  PodDisruptionBudget: 'metadata=1 spec=2 status=3',
  PodDisruptionBudgetSpec: 'minAvailable=1 selector=2 maxUnavailable=3 unhealthyPodEvictionPolicy*=4',
  PodDisruptionBudgetStatus: `
    observedGeneration=1 disruptedPods=2 disruptionsAllowed*=3 currentHealthy*=4 desiredHealthy*=5
    expectedPods*=6 conditions=7`,
  Eviction: 'metadata=1 deleteOptions=2',
  PriorityClass: 'metadata=1 value*=2 globalDefault=3 description=4 preemptionPolicy*=5',
};
