import { ApiError, type KubeClient, splitKey, WorkQueue } from '@enid/kube';
import type { AddressPool, Assignment } from '../seams.ts';

export const POD_IPS = 'vpc.amazonaws.com/pod-ips';

/** The same path as a JSON pointer. */
const POINTER = `/metadata/annotations/${POD_IPS.replace('/', '~1')}`;
const CONCURRENCY = 4;

export type PodAnnotationsOptions = {
  readonly client: KubeClient;
  readonly pool: Pick<AddressPool, 'assignments'>;
  readonly onError: (error: Error) => void;
};

/**
 * Keeps the annotation `vpc.amazonaws.com/pod-ips` of this node's pods as the pool has it: it says the pod's address as soon
 * as the pod has it, which is before the kubelet reports it, and nothing once the address is released. Policy engines
 * read it. It works in the background, and goes on trying while the API server is away.
 */
export class PodAnnotations {
  readonly #options: PodAnnotationsOptions;
  readonly #queue: WorkQueue;
  readonly #uids = new Map<string, string>();
  /** The address that a pod held last, until the annotation is cleared. */
  readonly #released = new Map<string, string>();

  constructor(options: PodAnnotationsOptions) {
    this.#options = options;
    this.#queue = new WorkQueue({
      process: (key) => this.#bringAbout(key),
      concurrency: CONCURRENCY,
      onError: (_, error) => options.onError(error),
    });
    // A run before this one may have been killed between an ADD and its annotation.
    for (const assignment of options.pool.assignments()) this.added(assignment);
  }

  added(assignment: Assignment, uid?: string): void {
    const key = podKey(assignment);
    if (!key) return;
    if (uid) this.#uids.set(key, uid);
    this.#queue.add(key);
  }

  removed(assignment: Assignment): void {
    const key = podKey(assignment);
    if (!key) return;
    this.#released.set(key, assignment.address);
    this.#queue.add(key);
  }

  close(): Promise<void> {
    return this.#queue.close();
  }

  async #bringAbout(key: string): Promise<void> {
    const held = this.#options.pool.assignments().findLast((assignment) => podKey(assignment) === key);
    const { namespace, name } = splitKey(key);
    const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
    try {
      if (held) await this.#set(path, held.address, this.#uids.get(key));
      else await this.#clear(path, key);
    } catch (error) {
      if (!(error instanceof ApiError) || error.code >= 500 || error.code === 429) throw error;
      // The pod is gone or is another of the same name, or the agent may not: trying again would not help.
      if (![404, 409, 422].includes(error.code)) this.#options.onError(error);
    }
    if (held) return;
    this.#released.delete(key);
    this.#uids.delete(key);
  }

  /** With its uid in the patch, a newer pod of that name refuses it. */
  async #set(path: string, address: string, uid: string | undefined): Promise<void> {
    await this.#options.client.patch(path, {
      metadata: { ...(uid && { uid }), annotations: { [POD_IPS]: address } },
    });
  }

  /** Only where it still names the address that was released. */
  async #clear(path: string, key: string): Promise<void> {
    const value = this.#released.get(key);
    if (value === undefined) return;
    const patch = [
      { op: 'test', path: POINTER, value },
      { op: 'replace', path: POINTER, value: '' },
    ];
    await this.#options.client.patch(path, patch, 'json');
  }
}

/** Undefined for what is no pod of Kubernetes, or is not the pod's own interface. */
function podKey({ key, metadata }: Assignment): string | undefined {
  const { k8sPodNamespace, k8sPodName } = metadata;
  if (!k8sPodNamespace || !k8sPodName || key.ifName !== 'eth0') return undefined;
  return `${k8sPodNamespace}/${k8sPodName}`;
}
