import { Informer, isNotFound, type KubeObject, type OwnerReference } from '@enid/kube';
import type { Cluster, Loop } from '../shared/cluster.ts';
import { discover, pathOf, type Resource } from '../shared/discovery.ts';
import { type Reconciler, reconciler } from '../shared/loop.ts';
import {
  FOREGROUND,
  Graph,
  hasFinalizer,
  type Item,
  isGoing,
  judge,
  ORPHAN,
  ownersOf,
  uidOf,
} from './graph.ts';

/** How often new resources are looked for, in milliseconds: the definition of one is noticed at once. */
const DISCOVERY_INTERVAL = 30_000;
const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
/** Nothing owns these, and there are many. */
const IGNORED = new Set(['events']);
const METADATA = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1';

/** Deletes what is owned by nothing that is there any more, and lets owners go that waited for what they own. */
export function startGarbageCollector(cluster: Cluster): Loop {
  return new GarbageCollector(cluster);
}

class GarbageCollector implements Loop {
  readonly #cluster: Cluster;
  readonly #graph = new Graph();
  readonly #loop: Reconciler;
  readonly #discovery: Reconciler;
  readonly #informers = new Map<string, Informer<KubeObject>>();
  /** Objects with an owner whose kind is not known: they are looked at again when more kinds are. */
  readonly #undecided = new Set<string>();
  #resources: readonly Resource[] = [];

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#loop = reconciler(cluster, 'garbage-collector', (uid) => this.#reconcile(uid), 20);
    this.#discovery = reconciler(cluster, 'garbage-collector discovery', () => this.#discover(), 1);
    this.#discovery.queue.add('');
  }

  async close(): Promise<void> {
    await Promise.all([this.#discovery.close(), this.#loop.close()]);
    await Promise.all([...this.#informers.values()].map((informer) => informer.stop()));
  }

  /** Follows each resource that can be listed, watched and deleted. */
  async #discover(): Promise<void> {
    const { client, clock, onError } = this.#cluster;
    const found = await discover(client);
    this.#resources = found;
    const wanted = new Map(
      found
        .filter(
          ({ plural, verbs }) =>
            !IGNORED.has(plural) && ['list', 'watch', 'delete'].every((v) => verbs.includes(v)),
        )
        .map((resource) => [pathOf(resource), resource]),
    );
    for (const [path, informer] of this.#informers) {
      if (wanted.has(path)) continue;
      this.#informers.delete(path);
      await informer.stop();
    }
    for (const [path, resource] of wanted) {
      if (this.#informers.has(path)) continue;
      const informer = new Informer<KubeObject>({ client, clock, path, metadataOnly: true, onError });
      this.#informers.set(path, informer);
      informer.onChange((old, now) => this.#changed(resource, old, now));
      if (path === DEFINITIONS) informer.onChange(() => this.#discovery.queue.addAfter('', 500));
    }
    for (const uid of this.#undecided) this.#loop.queue.add(uid);
    this.#undecided.clear();
    this.#discovery.queue.addAfter('', DISCOVERY_INTERVAL);
  }

  #changed(resource: Resource, old: KubeObject | undefined, now: KubeObject | undefined): void {
    if (now) {
      const item = { resource, object: now };
      this.#graph.put(item);
      if (isGoing(item)) for (const dependent of this.#graph.dependents(uidOf(item))) this.#add(dependent);
      if (isGoing(item) || ownersOf(item).length > 0) this.#add(item);
    }
    // Those who wait for it, as it is gone or owned by them no more.
    for (const owner of old?.metadata?.ownerReferences ?? []) this.#loop.queue.add(owner.uid);
    if (now || !old) return;
    const item = { resource, object: old };
    const dependents = this.#graph.dependents(uidOf(item));
    this.#graph.remove(uidOf(item));
    for (const dependent of dependents) this.#add(dependent);
  }

  #add(item: Item): void {
    this.#loop.queue.add(uidOf(item));
  }

  async #reconcile(uid: string): Promise<void> {
    const item = this.#graph.get(uid);
    if (!item) return;
    if (isGoing(item)) {
      if (hasFinalizer(item, ORPHAN)) await this.#orphan(item);
      else if (hasFinalizer(item, FOREGROUND)) await this.#awaitDependents(item);
      return;
    }
    const there = new Set<string>();
    await Promise.all(
      ownersOf(item).map(async (owner) => {
        if (await this.#isThere(owner, item)) there.add(owner.uid);
      }),
    );
    const verdict = judge(
      item,
      (owner) => there.has(owner.uid),
      (owner) => this.#graph.get(owner),
      this.#graph.dependents(uid).length > 0,
    );
    if (verdict.action === 'disown') await this.#disown(item, verdict.uids);
    if (verdict.action !== 'delete') return;
    const { client } = this.#cluster;
    await client.delete(this.#pathOf(item), { propagationPolicy: verdict.policy, preconditions: { uid } });
  }

  /** Asks the server about an owner that the graph does not have: it may not have been seen yet. */
  async #isThere(owner: OwnerReference, dependent: Item): Promise<boolean> {
    if (this.#graph.get(owner.uid)) return true;
    const group = groupOf(owner.apiVersion);
    const resource = this.#resources.find(
      ({ kind, groupVersion }) => kind === owner.kind && groupOf(groupVersion) === group,
    );
    const { namespace } = dependent.object.metadata ?? {};
    // What cannot be looked up is not known to be gone: its definition may come back.
    if (!resource) this.#undecided.add(uidOf(dependent));
    if (!resource || (resource.namespaced && !namespace)) return true;
    const path = `${pathOf(resource, resource.namespaced ? namespace : undefined)}/${owner.name}`;
    try {
      const found = await this.#cluster.client.request<KubeObject>('GET', path, { accept: METADATA });
      return found.metadata?.uid === owner.uid;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  }

  /** Frees what the object owns, then the object. */
  async #orphan(item: Item): Promise<void> {
    const uids = new Set([uidOf(item)]);
    await Promise.all(this.#graph.dependents(uidOf(item)).map((dependent) => this.#disown(dependent, uids)));
    await this.#release(item, ORPHAN);
  }

  /** Lets the object go when nothing that it must wait for is left. */
  async #awaitDependents(item: Item): Promise<void> {
    const dependents = this.#graph.dependents(uidOf(item));
    const blocking = dependents.filter((dependent) =>
      ownersOf(dependent).some(({ uid, blockOwnerDeletion }) => uid === uidOf(item) && blockOwnerDeletion),
    );
    for (const dependent of dependents) if (!isGoing(dependent)) this.#add(dependent);
    if (blocking.length === 0) await this.#release(item, FOREGROUND);
  }

  async #disown(item: Item, uids: ReadonlySet<string>): Promise<void> {
    const ownerReferences = ownersOf(item).filter(({ uid }) => !uids.has(uid));
    await this.#patch(item, { ownerReferences });
  }

  async #release(item: Item, finalizer: string): Promise<void> {
    await this.#patch(item, {
      finalizers: (item.object.metadata?.finalizers ?? []).filter((name) => name !== finalizer),
    });
  }

  /** Changes the very object that was seen, as it was seen. */
  async #patch(item: Item, metadata: object): Promise<void> {
    const { uid, resourceVersion } = item.object.metadata ?? {};
    try {
      await this.#cluster.client.patch(this.#pathOf(item), {
        metadata: { uid, resourceVersion, ...metadata },
      });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }

  #pathOf({ resource, object }: Item): string {
    return `${pathOf(resource, object.metadata?.namespace)}/${object.metadata?.name}`;
  }
}

const groupOf = (apiVersion: string) => (apiVersion.includes('/') ? apiVersion.split('/')[0]! : '');
