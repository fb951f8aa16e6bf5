import { type ConfigMap, Informer, type KubeClient, type Secret } from '@enid/kube';

const PLURALS = { configmap: 'configmaps', secret: 'secrets' } as const;
type Kinds = { configmap: ConfigMap; secret: Secret };
type Entry = { readonly users: Set<string>; readonly informer: Informer<ConfigMap & Secret> };

/**
 * The config maps and secrets that pods of this node use, each watched by its name (a node may read no others), for as
 * long as a pod uses it.
 */
export class ObjectCache {
  readonly #client: KubeClient;
  readonly #changed: (podUid: string) => void;
  readonly #entries = new Map<string, Entry>();

  /** @param changed called with the uid of each pod that uses an object that changed. */
  constructor(client: KubeClient, changed: (podUid: string) => void) {
    this.#client = client;
    this.#changed = changed;
  }

  /** The object as it is now, or undefined when there is none. Watched from now on for that pod. */
  async get<Kind extends keyof Kinds>(
    podUid: string,
    kind: Kind,
    namespace: string,
    name: string,
  ): Promise<Kinds[Kind] | undefined> {
    const key = `${kind}/${namespace}/${name}`;
    let entry = this.#entries.get(key);
    if (!entry) {
      entry = this.#watch(kind, namespace, name);
      this.#entries.set(key, entry);
    }
    entry.users.add(podUid);
    await entry.informer.synced;
    return entry.informer.get(`${namespace}/${name}`) as Kinds[Kind] | undefined;
  }

  /** The pod uses nothing any more. */
  release(podUid: string): void {
    for (const [key, { users, informer }] of this.#entries) {
      if (!users.delete(podUid) || users.size > 0) continue;
      void informer.stop();
      this.#entries.delete(key);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#entries.values()].map(({ informer }) => informer.stop()));
    this.#entries.clear();
  }

  #watch(kind: keyof Kinds, namespace: string, name: string): Entry {
    const informer = new Informer<ConfigMap & Secret>({
      client: this.#client,
      path: `/api/v1/namespaces/${namespace}/${PLURALS[kind]}`,
      fieldSelector: `metadata.name=${name}`,
    });
    const users = new Set<string>();
    informer.onChange(() => {
      if (informer.hasSynced) for (const uid of users) this.#changed(uid);
    });
    return { users, informer };
  }
}
