/** What the API server says of policies, of namespaces, and of the pods of one node. */
import {
  type ClusterPolicyEndpoint,
  Informer,
  type InformerOptions,
  isNotFound,
  type KubeClient,
  type KubeObject,
  type Namespace,
  type Pod,
  type PolicyEndpoint,
} from '@enid/kube';
import type { Clock } from '../clock.ts';

const GROUP = '/apis/networking.k8s.aws/v1alpha1';
/** How often it is asked for definitions that a cluster does not have, in milliseconds. */
const DEFINITIONS_INTERVAL = 10_000;

export type WatchHandlers = {
  readonly pod: (old: Pod | undefined, now: Pod | undefined) => void;
  readonly namespace: (old: Namespace | undefined, now: Namespace | undefined) => void;
  readonly endpoint: (old: PolicyEndpoint | undefined, now: PolicyEndpoint | undefined) => void;
  readonly clusterEndpoint: (
    old: ClusterPolicyEndpoint | undefined,
    now: ClusterPolicyEndpoint | undefined,
  ) => void;
  /** Told once of each resource that the cluster has no definition of: it has no policies of that kind. */
  readonly undefined: (path: string) => void;
  readonly error: (error: Error) => void;
};

export class PolicyWatches {
  /** Resolves when everything was heard of once. */
  readonly synced: Promise<void>;
  readonly #stop = new AbortController();
  readonly #informers: { live(): Promise<void>; stop(): Promise<void> }[] = [];
  readonly #options: { readonly client: KubeClient; readonly clock: Clock };
  readonly #handlers: WatchHandlers;
  readonly #pods: Informer<Pod, 'address'>;

  /** Begins at once. @param nodeName whose pods. */
  constructor(options: { client: KubeClient; clock: Clock }, nodeName: string, handlers: WatchHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    const fieldSelector = `spec.nodeName=${nodeName}`;
    this.#pods = this.#follow<Pod, 'address'>('/api/v1/pods', handlers.pod, {
      fieldSelector,
      indexes: { address: ({ spec, status }) => (spec?.hostNetwork || !status?.podIP ? [] : [status.podIP]) },
    });
    const namespaces = this.#follow<Namespace>('/api/v1/namespaces', handlers.namespace);
    this.synced = Promise.all([
      this.#pods.synced,
      namespaces.synced,
      this.#followDefined(`${GROUP}/policyendpoints`, handlers.endpoint),
      this.#followDefined(`${GROUP}/clusterpolicyendpoints`, handlers.clusterEndpoint),
    ]).then(() => {});
    this.synced.catch(() => {});
  }

  /** The pods of the node, as last heard of. */
  pod(key: string): Pod | undefined {
    return this.#pods.get(key);
  }

  /** The pod of the node that has an address of its own. */
  podAt(address: string): Pod | undefined {
    return this.#pods.by('address', address)[0];
  }

  /** Resolves when the API server tells of all changes again, which it is asked for at once when it did not. */
  async live(): Promise<void> {
    await Promise.all(this.#informers.map((informer) => informer.live()));
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#informers.map((informer) => informer.stop()));
  }

  #follow<T extends KubeObject, I extends string = never>(
    path: string,
    handler: (old: T | undefined, now: T | undefined) => void,
    how: Pick<InformerOptions<T, I>, 'fieldSelector' | 'indexes'> = {},
  ): Informer<T, I> {
    const { client } = this.#options;
    const { error: onError } = this.#handlers;
    const informer = new Informer<T, I>({ client, path, onError, ...how });
    this.#informers.push(informer);
    informer.onChange(handler);
    return informer;
  }

  /** Follows a custom resource as soon as it is defined. Resolves at once when it is not: then there is none of it. */
  async #followDefined<T extends KubeObject>(
    path: string,
    handler: (old: T | undefined, now: T | undefined) => void,
  ): Promise<void> {
    if (await this.#isDefined(path)) return this.#follow<T>(path, handler).synced;
    this.#handlers.undefined(path);
    void this.#awaitDefinition(path, handler);
  }

  async #awaitDefinition<T extends KubeObject>(
    path: string,
    handler: (old: T | undefined, now: T | undefined) => void,
  ): Promise<void> {
    const { signal } = this.#stop;
    for (;;) {
      await this.#options.clock.sleep(DEFINITIONS_INTERVAL, signal).catch(() => {});
      if (signal.aborted) return;
      if (!(await this.#isDefined(path))) continue;
      this.#follow<T>(path, handler);
      return;
    }
  }

  async #isDefined(path: string): Promise<boolean> {
    const { client, clock } = this.#options;
    const { signal } = this.#stop;
    for (let wait = 200; !signal.aborted; wait = Math.min(2 * wait, 5000)) {
      try {
        await client.get(path, { limit: 1 });
        return true;
      } catch (error) {
        if (isNotFound(error)) return false;
        this.#handlers.error(error as Error);
        await clock.sleep(wait, signal).catch(() => {});
      }
    }
    return false;
  }
}
