import {
  type Clock,
  type EventRecorder,
  type Informer,
  type Informers,
  isAlreadyExists,
  isConflict,
  isNamespaceTerminating,
  isNotFound,
  type KubeClient,
  keyOf,
  type Namespace,
  type Pod,
  type Service,
  systemClock,
  WorkQueue,
} from '@enid/kube';
import {
  clusterCommonOf,
  commonOf,
  deleteEndpoints,
  type EndpointObject,
  type Write,
  writeEndpoints,
} from './endpoint-objects.ts';
import {
  type ClusterNetworkPolicy,
  type ClusterPolicyEndpoint,
  GROUP_VERSION,
  type NetworkPolicy,
  type PolicyEndpoint,
} from './objects.ts';
import { type Policy, readClusterNetworkPolicy, readNetworkPolicy } from './policy.ts';
import { PolicyState } from './policy-state.ts';
import { Written } from './written.ts';

export type NetworkPolicyOptions = {
  readonly client: KubeClient;
  /** By which the cluster is followed; who made them ends them. */
  readonly informers: Informers;
  readonly clock?: Clock;
  /** Told of what failed and will be tried again. */
  readonly onError?: (error: Error) => void;
  /** Tells users what is wrong with their policies. */
  readonly recorder?: EventRecorder;
  readonly observe?: NetworkPolicyObserver;
};

export type NetworkPolicyObserver = {
  readonly resolved?: (seconds: number) => void;
  readonly wrote?: (write: Write) => void;
  readonly failed?: () => void;
};

export type NetworkPolicies = AsyncDisposable & {
  /** How many policies wait. */
  readonly waiting: number;
};

/**
 * Says in PolicyEndpoints and ClusterPolicyEndpoints what NetworkPolicies and ClusterNetworkPolicies mean. Resolves when the
 * cluster's state is known and work has begun; dispose of it to end it.
 */
export async function startNetworkPolicies(options: NetworkPolicyOptions): Promise<NetworkPolicies> {
  const { client, informers, clock = systemClock, onError = console.error, recorder, observe = {} } = options;
  await using stack = new AsyncDisposableStack();
  const state = new PolicyState();
  const written = new Written<EndpointObject>();
  const pods = informers.follow<Pod>('/api/v1/pods');
  const namespaces = informers.follow<Namespace>('/api/v1/namespaces');
  const services = informers.follow<Service>('/api/v1/services');
  const policies = informers.follow<NetworkPolicy>('/apis/networking.k8s.io/v1/networkpolicies');
  const clusterPolicies = informers.follow<ClusterNetworkPolicy>(
    `/apis/${GROUP_VERSION}/clusternetworkpolicies`,
  );
  const byPolicy = { policy: ({ spec }: EndpointObject) => [idOf(spec.policyRef)] };
  const endpoints = informers.follow<PolicyEndpoint, 'policy'>(
    `/apis/${GROUP_VERSION}/policyendpoints`,
    byPolicy,
  );
  const clusterEndpoints = informers.follow<ClusterPolicyEndpoint, 'policy'>(
    `/apis/${GROUP_VERSION}/clusterpolicyendpoints`,
    byPolicy,
  );
  await informers.synced();

  const queue = new WorkQueue({
    clock,
    concurrency: 8,
    process: reconcile,
    onError(key, error) {
      written.forget(key);
      if (isConflict(error) || isAlreadyExists(error) || isNotFound(error) || isNamespaceTerminating(error))
        return;
      observe.failed?.();
      onError(new Error(`policy ${key}: ${error.message}`, { cause: error }));
    },
  });
  stack.defer(() => queue.close());
  const add = (ids: Iterable<string>) => {
    for (const id of ids) queue.add(id);
  };
  const on = (unsubscribe: () => void) => stack.defer(unsubscribe);
  on(namespaces.onChange((old, now) => add(state.setNamespace(keyOf((now ?? old)!), now))));
  on(services.onChange((old, now) => add(state.setService(keyOf((now ?? old)!), now))));
  on(pods.onChange((old, now) => add(state.setPod(keyOf((now ?? old)!), now))));
  const followPolicies = <T extends NetworkPolicy | ClusterNetworkPolicy>(
    informer: Informer<T>,
    kind: { readonly apiVersion: string; readonly kind: string },
    read: (policy: T) => Policy,
  ) =>
    on(
      informer.onChange((old, now) => {
        const id = keyOf((now ?? old)!);
        const policy = now && read(now);
        state.setPolicy(id, policy);
        for (const problem of policy?.problems ?? [])
          recorder?.event({ ...now, ...kind }, 'Warning', 'InvalidPeer', problem);
        queue.add(id);
      }),
    );
  followPolicies(policies, { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy' }, readNetworkPolicy);
  followPolicies(
    clusterPolicies,
    { apiVersion: GROUP_VERSION, kind: 'ClusterNetworkPolicy' },
    readClusterNetworkPolicy,
  );
  const followEndpoints = <T extends EndpointObject>(informer: Informer<T, 'policy'>) =>
    on(
      informer.onChange((old, now) => {
        const id = idOf((now ?? old)!.spec.policyRef);
        if (now && written.knows(id, now)) return;
        if (!now && old) written.gone(id, old);
        queue.add(id);
      }),
    );
  followEndpoints(endpoints);
  followEndpoints(clusterEndpoints);
  const owned = stack.move();
  return {
    get waiting() {
      return queue.size;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };

  async function reconcile(id: string): Promise<void> {
    const onWrite = (write: Write) => observe.wrote?.(write);
    const seen: EndpointObject[] = id.includes('/')
      ? endpoints.by('policy', id)
      : clusterEndpoints.by('policy', id);
    const existing = written.over(id, seen);
    const begun = performance.now();
    const content = state.resolve(id);
    observe.resolved?.((performance.now() - begun) / 1000);
    const policy = state.get(id);
    const source = policies.get(id);
    const clusterSource = clusterPolicies.get(id);
    if (!content || !policy || (!source && !clusterSource)) {
      await deleteEndpoints({ client, id, objects: existing, written, onWrite });
      return;
    }
    const [about, common] = source
      ? [source, commonOf(source, policy)]
      : [clusterSource!, clusterCommonOf(clusterSource!)];
    await writeEndpoints({ client, id, source: about, common, content, existing, written, onWrite });
  }
}

/** A policy's key: with a namespace it is a NetworkPolicy, without one a ClusterNetworkPolicy. */
const idOf = ({ name, namespace }: { readonly name: string; readonly namespace?: string }) =>
  namespace ? `${namespace}/${name}` : name;
