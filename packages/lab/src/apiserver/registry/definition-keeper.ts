import type { StoredObject } from '../object.ts';
import type { Call } from './call.ts';
import type { Catalog } from './catalog.ts';
import type { Definition } from './custom-resources.ts';
import { deleteObject } from './deletes.ts';
import type { Resource } from './resource.ts';
import { BUILT_IN } from './resources.ts';
import { CLEANUP } from './strategies/definitions.ts';
import type { Cluster } from './strategy.ts';
import { change } from './writes.ts';

const DEFINITIONS = BUILT_IN.find(({ kind }) => kind === 'CustomResourceDefinition')!;

/** Serves what CustomResourceDefinitions say, and deletes the objects of one that is being deleted before it goes. */
export class DefinitionKeeper {
  readonly #cluster: Cluster;
  readonly #catalog: Catalog;
  readonly #call: Call;
  readonly #watched = new Set<string>();
  readonly #subscriptions: (() => void)[] = [];
  #position: number;
  #stopped = false;

  constructor(cluster: Cluster, catalog: Catalog, call: Call) {
    this.#cluster = cluster;
    this.#catalog = catalog;
    this.#call = call;
    const history = cluster.store.history(DEFINITIONS.storage);
    this.#position = history.end;
    for (const definition of cluster.store.all(DEFINITIONS.storage))
      this.#serve(definition.metadata.name, definition);
    const follow = () => {
      for (; this.#position < history.end; this.#position += 1) {
        const event = history.at(this.#position);
        if (event)
          this.#serve(event.object.metadata.name, event.type === 'DELETED' ? undefined : event.object);
      }
    };
    this.#subscriptions.push(history.subscribe(follow));
  }

  /** Ends it: the store may be closed then. */
  stop(): void {
    this.#stopped = true;
    for (const unsubscribe of this.#subscriptions) unsubscribe();
  }

  #serve(name: string, definition: StoredObject | undefined): void {
    this.#catalog.define(name, definition);
    if (definition?.metadata.deletionTimestamp) this.#empty(definition);
  }

  /** Deletes what is left of a definition's objects; and lets it go when nothing is. */
  #empty(definition: StoredObject): void {
    const { group, names } = (definition as StoredObject & Definition).spec;
    const storage = `${names.plural}.${group}`;
    const { name } = definition.metadata;
    const held = () => {
      const now = this.#stopped ? undefined : this.#cluster.store.get(DEFINITIONS.storage, `/${name}`);
      return now?.metadata.deletionTimestamp && now.metadata.finalizers?.includes(CLEANUP) ? now : undefined;
    };
    const step = async () => {
      const resource = this.#catalog.resources.find((candidate) => candidate.storage === storage);
      if (held() && resource) await this.#deleteAll(resource);
      const now = held();
      if (!now || [...this.#cluster.store.all(storage)].length > 0) return;
      const finalizers = now.metadata.finalizers!.filter((finalizer) => finalizer !== CLEANUP);
      const next = { ...structuredClone(now), metadata: { ...now.metadata, finalizers } };
      await change(
        this.#cluster,
        { resource: DEFINITIONS, namespace: '', name },
        now,
        next,
        this.#call,
        'main',
      );
    };
    if (!this.#watched.has(storage)) {
      this.#watched.add(storage);
      this.#subscriptions.push(this.#cluster.store.history(storage).subscribe(() => setImmediate(step)));
    }
    setImmediate(step);
  }

  async #deleteAll(resource: Resource): Promise<void> {
    const objects = [...this.#cluster.store.all(resource.storage)];
    await Promise.all(
      objects
        .filter(({ metadata }) => !metadata.deletionTimestamp)
        .map(({ metadata }) => {
          const target = { resource, namespace: metadata.namespace ?? '', name: metadata.name };
          return deleteObject(this.#cluster, target, { propagationPolicy: 'Background' }, this.#call);
        }),
    );
  }
}
