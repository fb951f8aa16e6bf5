import {
  type EventRecorder,
  isAlreadyExists,
  isNamespaceTerminating,
  isNotFound,
  type KubeClient,
  type KubeObject,
  type Pod,
  type PodTemplate,
} from '@enid/kube';
import type { Expectations } from './expectations.ts';
import { controllerReference } from './owners.ts';

type Owner = KubeObject & { readonly apiVersion: string; readonly kind: string };

/** Of many pods, how many are made at first: twice as many follow each time that all went well. */
const SLOW_START = 1;

/** Makes and deletes the pods of one owner, tells of it in events, and expects to see it. */
export class PodControl {
  readonly #client: KubeClient;
  readonly #recorder: EventRecorder;
  readonly #expectations: Expectations | undefined;
  readonly #owner: Owner;
  readonly #key: string;

  constructor(
    client: KubeClient,
    recorder: EventRecorder,
    owner: Owner,
    key: string,
    expectations?: Expectations,
  ) {
    this.#client = client;
    this.#recorder = recorder;
    this.#owner = owner;
    this.#key = key;
    this.#expectations = expectations;
  }

  /**
   * Makes pods, few at first, so that a mistake in their template does not fail a thousand times.
   * @throws the first error, after which no more are made.
   */
  async create(pods: readonly Pod[]): Promise<void> {
    this.#expectations?.expectCreations(this.#key, pods.length);
    for (let done = 0, size = SLOW_START; done < pods.length; size *= 2) {
      const batch = pods.slice(done, done + size);
      const results = await Promise.allSettled(batch.map((pod) => this.#create(pod)));
      done += batch.length;
      const failed = results.find((result) => result.status === 'rejected');
      if (!failed) continue;
      for (let skipped = done; skipped < pods.length; skipped++) this.#expectations?.created(this.#key);
      throw failed.reason;
    }
  }

  async delete(pods: readonly Pod[]): Promise<void> {
    this.#expectations?.expectDeletions(
      this.#key,
      pods.map((pod) => pod.metadata?.uid ?? ''),
    );
    const results = await Promise.allSettled(pods.map((pod) => this.#delete(pod)));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }

  async #create(pod: Pod): Promise<void> {
    try {
      const made = await this.#client.create<Pod>(`/api/v1/namespaces/${pod.metadata?.namespace}/pods`, pod);
      this.#tell('Normal', 'SuccessfulCreate', `Created pod: ${made.metadata?.name}`);
    } catch (error) {
      this.#expectations?.created(this.#key);
      if (!isNamespaceTerminating(error) && !isAlreadyExists(error)) {
        this.#tell('Warning', 'FailedCreate', `Error creating: ${(error as Error).message}`);
      }
      throw error;
    }
  }

  async #delete(pod: Pod): Promise<void> {
    const { name, namespace, uid = '' } = pod.metadata ?? {};
    try {
      await this.#client.delete(`/api/v1/namespaces/${namespace}/pods/${name}`, { preconditions: { uid } });
      this.#tell('Normal', 'SuccessfulDelete', `Deleted pod: ${name}`);
    } catch (error) {
      this.#expectations?.deleted(this.#key, uid);
      if (isNotFound(error)) return;
      this.#tell('Warning', 'FailedDelete', `Error deleting: ${(error as Error).message}`);
      throw error;
    }
  }

  #tell(type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#recorder.event(this.#owner, type, reason, message);
  }
}

/** A pod from an owner's template; without a name it gets one from the server. */
export function podFrom(owner: Owner, template: PodTemplate, name?: string): Pod {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  const { name: ownerName = '', namespace } = owner.metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...(name ? { name } : { generateName: generateName(ownerName) }),
      namespace,
      labels: { ...labels },
      annotations: { ...annotations },
      finalizers: finalizers ?? undefined,
      ownerReferences: [controllerReference(owner, owner.apiVersion, owner.kind)],
    },
    spec: structuredClone(template.spec!),
  };
}

/** What the server appends 5 letters to, in all no longer than a name may be. */
const generateName = (owner: string) => `${owner}-`.slice(0, 58);
