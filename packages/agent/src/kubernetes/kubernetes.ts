/**
 * The agent's view of Kubernetes. Nothing in the pods' way waits for it: without the API server the agent works on, and
 * the API server hears of it later or not at all.
 */
import type { Refusal } from '@enid/ipam';
import { type About, type ApiAccess, EventRecorder, isNotFound, KubeClient, type Pod } from '@enid/kube';
import type { Registry } from 'prom-client';
import type { AttachmentObserver, PodIdentity } from '../cni/observer.ts';
import type { Logger } from '../log.ts';
import type { AddressPool, Assignment, NoAddressError } from '../seams.ts';
import { type MaxPods, maxPodsDifference } from './max-pods.ts';
import { NodeView } from './node-view.ts';
import { PodAnnotations } from './pod-annotations.ts';
import { Warnings } from './warnings.ts';

const COMPONENT = 'aws-node';
/** How long a stop waits for what is still to be written. */
const STOP_WAIT = 2_000;

export type KubernetesOptions = {
  readonly access: ApiAccess;
  /** MY_NODE_NAME. Without it, nothing is known of the node. */
  readonly nodeName: string | undefined;
  /** ANNOTATE_POD_IP. */
  readonly annotatePodIps: boolean;
  readonly log: Logger;
};

export type Followed = {
  readonly pool: Pick<AddressPool, 'assignments'>;
  readonly instanceType: string;
  /** What the instance and the mode of the pool give, host-network pods included. */
  readonly maxPods: () => number | undefined;
};

export class Kubernetes implements AttachmentObserver, AsyncDisposable {
  readonly client: KubeClient;
  /** The agent's own Node; undefined when its name is not known. */
  readonly node: NodeView | undefined;
  readonly #options: KubernetesOptions;
  readonly #recorder: EventRecorder;
  readonly #warnings: Warnings;
  #followed: Followed | undefined;
  #annotations: PodAnnotations | undefined;
  /** What was last told of max-pods: a node reports itself often. */
  #toldMaxPods: string | undefined;
  #failing = false;

  constructor(options: KubernetesOptions) {
    const { access, nodeName, log } = options;
    this.#options = options;
    this.client = new KubeClient(access);
    this.#recorder = new EventRecorder({
      client: this.client,
      component: COMPONENT,
      ...(nodeName && { host: nodeName }),
      onError: this.#onError,
    });
    this.#warnings = new Warnings(this.#recorder);
    this.node = nodeName ? new NodeView(this.client, nodeName, this.#onError) : undefined;
    if (!nodeName) log.warn('MY_NODE_NAME is not set: nothing is known of the node, nor told of it');
    this.node?.onChange(() => this.#onNode());
  }

  /** Whether new pods may come to the node; true when that is not known. For AWS_MANAGE_ENIS_NON_SCHEDULABLE. */
  get schedulable(): boolean {
    return this.node?.schedulable ?? true;
  }

  /** From now on the pool is what is told of. */
  follow(followed: Followed): void {
    this.#followed = followed;
    if (this.#options.annotatePodIps) {
      const { pool } = followed;
      this.#annotations = new PodAnnotations({ client: this.client, pool, onError: this.#onError });
    }
    this.#onNode();
  }

  /** The kubelet's max-pods beside the computed one, once both are known. */
  get maxPods(): MaxPods | undefined {
    const kubelet = this.node?.maxPods;
    if (kubelet === undefined || !this.#followed) return undefined;
    const { instanceType, maxPods } = this.#followed;
    const computed = maxPods();
    return computed === undefined ? undefined : { kubelet, computed, instanceType };
  }

  /** Adds what is known here to the agent's metrics. */
  async showMetrics(registry: Registry): Promise<void> {
    const { showKubernetes } = await import('./metrics.ts');
    showKubernetes(registry, this);
  }

  added(assignment: Assignment, uid?: string): void {
    this.#annotations?.added(assignment, uid);
  }

  removed(assignment: Assignment): void {
    this.#annotations?.removed(assignment);
  }

  refused(pod: PodIdentity, { message, reason }: NoAddressError): void {
    const { k8sPodNamespace: namespace, k8sPodName: name } = pod.metadata;
    if (namespace && name) {
      const subject = `pod ${namespace}/${name} ${pod.uid ?? ''}`;
      this.#tell(subject, reason, message, () => this.#aboutPod(namespace, name, pod.uid));
    }
    this.#tellOfNode(reason, message);
  }

  /** The node can have no more addresses, though it needs some. */
  short({ cause, sentence }: Refusal): void {
    this.#tellOfNode(cause, sentence);
  }

  /** Writes what is still to be written, for a moment. */
  async close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, STOP_WAIT);
    await Promise.race([Promise.all([this.#recorder.close(), this.#annotations?.close()]), promise]);
    clearTimeout(timer);
    const stopped = this.node?.stop();
    this.client.close();
    await stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #onNode(): void {
    this.#failing = false;
    const maxPods = this.maxPods;
    if (!maxPods) return;
    const difference = maxPodsDifference(maxPods);
    if (difference === this.#toldMaxPods) return;
    this.#toldMaxPods = difference;
    if (!difference) return;
    this.#options.log.warn(maxPods, difference);
    this.#tellOfNode('MaxPodsMismatch', difference);
  }

  #tellOfNode(reason: string, message: string): void {
    const { node } = this;
    if (!node) return;
    const about = () => ({
      apiVersion: 'v1',
      kind: 'Node',
      // As the kubelet has it: `kubectl describe` looks for either.
      metadata: { name: node.name, uid: node.node?.metadata?.uid ?? node.name },
    });
    this.#tell('node', reason, message, about);
  }

  #tell(subject: string, reason: string, message: string, about: Parameters<Warnings['tell']>[3]): void {
    this.#warnings.tell(subject, reason, message, about).catch(this.#onError);
  }

  /** Events are found by the pod's uid, which Amazon's plugin does not tell. */
  async #aboutPod(namespace: string, name: string, uid: string | undefined): Promise<About | undefined> {
    const about = { apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name } };
    if (uid) return { ...about, metadata: { ...about.metadata, uid } };
    try {
      const { metadata } = await this.client.get<Pod>(`/api/v1/namespaces/${namespace}/pods/${name}`);
      return { ...about, metadata: { ...about.metadata, uid: metadata?.uid } };
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** The first of many errors is told loudly. */
  readonly #onError = (error: Error): void => {
    const { log } = this.#options;
    if (this.#failing) log.debug({ err: error }, 'the API server was not reached');
    else log.warn({ err: error }, 'the API server was not reached; the agent works on without it');
    this.#failing = true;
  };
}
