import { type ApiAccess, type Clock, EventRecorder, KubeClient, systemClock } from '@enid/kube';
import { startDaemonSets } from './daemonset/daemonset.ts';
import { startDeployments } from './deployment/deployment.ts';
import { startDisruption } from './disruption/disruption.ts';
import { startEndpoints } from './endpoints/endpoints.ts';
import { startEndpointSlices } from './endpointslice/endpointslice.ts';
import { startGarbageCollector } from './garbage-collector/garbage-collector.ts';
import { startJobs } from './job/job.ts';
import { startNamespaces } from './namespace/namespace.ts';
import { startNodeLifecycle } from './node-lifecycle/node-lifecycle.ts';
import { startPodGc } from './pod-gc/pod-gc.ts';
import { startReplicaSets } from './replicaset/replicaset.ts';
import { startScheduler } from './scheduler/scheduler.ts';
import { startServiceAccounts } from './service-account/service-account.ts';
import { type Cluster, informers, type Loop } from './shared/cluster.ts';
import { startStatefulSets } from './statefulset/statefulset.ts';

export type ControlLoopOptions = {
  /** How to reach the API server, as an administrator. */
  readonly api: ApiAccess;
  readonly clock?: Clock;
  /** Told of what failed and will be tried again. */
  readonly onError?: (error: Error) => void;
};

/**
 * Starts all that makes a cluster of an API server: the scheduler, and the controllers of workloads, Services, nodes,
 * namespaces and owners. Resolves when they have seen the cluster's state and are at work.
 */
export async function startControlLoops(options: ControlLoopOptions): Promise<{ close(): Promise<void> }> {
  const { api, clock = systemClock, onError = console.error } = options;
  const client = new KubeClient(api);
  const state = informers(client, clock, onError);
  const recorders: EventRecorder[] = [];
  const recorder = (component: string) => {
    const made = new EventRecorder({ client, component, clock, onError });
    recorders.push(made);
    return made;
  };
  await Promise.all(Object.values(state).map((informer) => informer.synced));
  const cluster: Cluster = { client, clock, state, recorder, onError };
  const loops: Loop[] = [
    startServiceAccounts(cluster, api.authority),
    startNamespaces(cluster),
    startNodeLifecycle(cluster),
    startDeployments(cluster),
    startReplicaSets(cluster),
    startDaemonSets(cluster),
    startStatefulSets(cluster),
    startJobs(cluster),
    startScheduler(cluster),
    startEndpointSlices(cluster),
    startEndpoints(cluster),
    startPodGc(cluster),
    startGarbageCollector(cluster),
    startDisruption(cluster),
  ];
  return {
    async close() {
      await Promise.all(loops.map((loop) => loop.close()));
      await Promise.all(Object.values(state).map((informer) => informer.stop()));
      await Promise.all(recorders.map((made) => made.close()));
      client.close();
    },
  };
}
