import { createHash } from 'node:crypto';
import { isNotFound, type KubeClient, type List, type Pod as PodObject } from '@enid/kube';
import type { NodeRecord } from '../base/record.ts';
import { until } from '../base/until.ts';

/** A pod that runs in a cluster of the lab. */
export type ClusterPod = {
  readonly namespace: string;
  readonly name: string;
  /** Kubernetes' name of its node. */
  readonly node: string;
  readonly address: string;
  /** Of the node's end of its veth pair; of a pod in the node's own network there is none. */
  readonly hostInterface: string;
};

type Event = { reason?: string; message?: string; lastTimestamp?: string };

const NAMESPACE = 'default';
const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;

/** Single pods, as somebody makes them who wants to look at them. */
export class ClusterPods {
  readonly #client: KubeClient;

  constructor(client: KubeClient) {
    this.#client = client;
  }

  /** Those of all namespaces that have an address of their own. */
  async listAll(): Promise<ClusterPod[]> {
    return await this.#list('/api/v1/pods');
  }

  /** Those in the namespace `default` that have an address of their own. */
  async list(): Promise<ClusterPod[]> {
    return await this.#list(PODS);
  }

  async #list(path: string): Promise<ClusterPod[]> {
    const { items } = await this.#client.get<List<PodObject>>(path);
    return items
      .filter(
        ({ spec, status, metadata }) => status?.podIP && !spec?.hostNetwork && !metadata?.deletionTimestamp,
      )
      .map(seen);
  }

  /** @throws {ApiError} NotFound. */
  async find(name: string): Promise<ClusterPod> {
    return seen(await this.#client.get<PodObject>(`${PODS}/${name}`));
  }

  /** Applies the manifest of a pod for a node. @returns at once, whatever becomes of it. */
  async create(node: NodeRecord, name: string, spec: Record<string, unknown> = {}): Promise<void> {
    await this.#client.create(PODS, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: NAMESPACE, labels: { app: name } },
      spec: {
        nodeSelector: { 'kubernetes.io/hostname': node.dnsName },
        terminationGracePeriodSeconds: 1,
        containers: [{ name: 'netshoot', image: 'nicolaka/netshoot', command: ['sleep', 'infinity'] }],
        ...spec,
      },
    });
  }

  /** The same, and waits until the pod runs. @throws when it does not, with what the cluster says of it. */
  async add(node: NodeRecord, name: string, spec: Record<string, unknown> = {}): Promise<ClusterPod> {
    await this.create(node, name, spec);
    return await this.running(name);
  }

  /** Waits until a pod runs. @throws when it does not, with what the cluster says of it. */
  async running(name: string): Promise<ClusterPod> {
    try {
      const pod = await until(
        () => this.#client.get<PodObject>(`${PODS}/${name}`),
        ({ status }) => status?.phase === 'Running',
        `pod ${name} to run`,
      );
      return seen(pod);
    } catch {
      const events = await this.events(name);
      throw new Error(`pod ${name} does not run: ${events.at(-1)?.message ?? 'nothing is said of it'}`);
    }
  }

  /** What has been said of a pod, the latest last. */
  async events(name: string): Promise<{ reason: string; message: string }[]> {
    const { items } = await this.#client.get<List<Event>>(`/api/v1/namespaces/${NAMESPACE}/events`, {
      fieldSelector: `involvedObject.name=${name}`,
    });
    return items
      .sort((a, b) => ((a.lastTimestamp ?? '') < (b.lastTimestamp ?? '') ? -1 : 1))
      .map(({ reason = '', message = '' }) => ({ reason, message }));
  }

  /** Waits for an event of a pod. @returns its message. */
  async event(name: string, reason: string, text: RegExp): Promise<string> {
    const ofInterest = (event: { reason: string; message: string }) =>
      event.reason === reason && text.test(event.message);
    const events = await until(
      () => this.events(name),
      (all) => all.some(ofInterest),
      `an event ${reason} of pod ${name}`,
    );
    return events.find(ofInterest)!.message;
  }

  /** Deletes a pod and waits until it is gone. */
  async delete(name: string): Promise<void> {
    await this.#client.delete(`${PODS}/${name}`);
    await until(
      () =>
        this.#client.get(`${PODS}/${name}`).then(
          () => false,
          (error) => {
            if (isNotFound(error)) return true;
            throw error;
          },
        ),
      (gone) => gone,
      `pod ${name} to be gone`,
    );
  }
}

function seen({ metadata, spec, status }: PodObject): ClusterPod {
  const { namespace = '', name = '' } = metadata ?? {};
  const digest = createHash('sha1').update(`${namespace}.${name}`).digest('hex');
  return {
    namespace,
    name,
    node: spec?.nodeName ?? '',
    address: status?.podIP ?? '',
    hostInterface: `eni${digest.slice(0, 11)}`,
  };
}
