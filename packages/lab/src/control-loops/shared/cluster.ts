import {
  type Clock,
  type ConfigMap,
  type ControllerRevision,
  type DaemonSet,
  type Deployment,
  type EndpointSlice,
  type Endpoints,
  type EventRecorder,
  Informer,
  type Job,
  type KubeClient,
  type KubeObject,
  type Lease,
  type Namespace,
  type Node,
  type Pod,
  type PodDisruptionBudget,
  type ReplicaSet,
  type Service,
  type ServiceAccount,
  type StatefulSet,
} from '@enid/kube';
import { controllerOf } from './owners.ts';

/** The cluster as the loops see it: a copy of its state, and what they change it with. */
export type Cluster = {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly state: ClusterState;
  /** Tells users what a component did. */
  readonly recorder: (component: string) => EventRecorder;
  /** Told of what failed and will be tried again. */
  readonly onError: (error: Error) => void;
};

/** Something that has been started. */
export type Loop = { close(): Promise<void> };

const namespace = (object: KubeObject) => [object.metadata?.namespace ?? ''];
/** By the uid of the object that manages it. */
const controller = (object: KubeObject) => {
  const owner = controllerOf(object);
  return owner ? [owner.uid] : [];
};
/** By namespace, those which nothing manages. */
const orphans = (object: KubeObject) => (controllerOf(object) ? [] : namespace(object));
const service = (slice: EndpointSlice) => {
  const name = slice.metadata?.labels?.['kubernetes.io/service-name'];
  return name ? [`${slice.metadata?.namespace}/${name}`] : [];
};

export type ClusterState = ReturnType<typeof informers>;

/** One informer for each resource that a loop looks at, shared by all of them. */
export function informers(client: KubeClient, clock: Clock, onError: (error: Error) => void) {
  const common = { client, clock, onError };
  const owned = { namespace, controller, orphans };
  return {
    pods: new Informer<Pod, 'namespace' | 'controller' | 'orphans' | 'node'>({
      ...common,
      path: '/api/v1/pods',
      indexes: { ...owned, node: (pod) => (pod.spec?.nodeName ? [pod.spec.nodeName] : []) },
    }),
    nodes: new Informer<Node>({ ...common, path: '/api/v1/nodes' }),
    namespaces: new Informer<Namespace>({ ...common, path: '/api/v1/namespaces' }),
    services: new Informer<Service, 'namespace'>({
      ...common,
      path: '/api/v1/services',
      indexes: { namespace },
    }),
    endpoints: new Informer<Endpoints>({ ...common, path: '/api/v1/endpoints' }),
    endpointSlices: new Informer<EndpointSlice, 'service'>({
      ...common,
      path: '/apis/discovery.k8s.io/v1/endpointslices',
      indexes: { service },
    }),
    serviceAccounts: new Informer<ServiceAccount>({
      ...common,
      path: '/api/v1/serviceaccounts',
      fieldSelector: 'metadata.name=default',
    }),
    rootCertificates: new Informer<ConfigMap>({
      ...common,
      path: '/api/v1/configmaps',
      fieldSelector: 'metadata.name=kube-root-ca.crt',
    }),
    nodeLeases: new Informer<Lease>({
      ...common,
      path: '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases',
    }),
    deployments: new Informer<Deployment, 'namespace'>({
      ...common,
      path: '/apis/apps/v1/deployments',
      indexes: { namespace },
    }),
    replicaSets: new Informer<ReplicaSet, keyof typeof owned>({
      ...common,
      path: '/apis/apps/v1/replicasets',
      indexes: owned,
    }),
    daemonSets: new Informer<DaemonSet, 'namespace'>({
      ...common,
      path: '/apis/apps/v1/daemonsets',
      indexes: { namespace },
    }),
    statefulSets: new Informer<StatefulSet, 'namespace'>({
      ...common,
      path: '/apis/apps/v1/statefulsets',
      indexes: { namespace },
    }),
    controllerRevisions: new Informer<ControllerRevision, keyof typeof owned>({
      ...common,
      path: '/apis/apps/v1/controllerrevisions',
      indexes: owned,
    }),
    jobs: new Informer<Job, 'namespace'>({ ...common, path: '/apis/batch/v1/jobs', indexes: { namespace } }),
    disruptionBudgets: new Informer<PodDisruptionBudget, 'namespace'>({
      ...common,
      path: '/apis/policy/v1/poddisruptionbudgets',
      indexes: { namespace },
    }),
  };
}
