import type { KubeObject, OwnerReference } from '@enid/kube';
import type { Resource } from '../shared/discovery.ts';

/** An object in the graph of owners, as far as its metadata goes. */
export type Item = {
  readonly resource: Resource;
  readonly object: KubeObject;
};

export const uidOf = ({ object }: Item) => object.metadata?.uid ?? '';
export const ownersOf = ({ object }: Item): readonly OwnerReference[] =>
  object.metadata?.ownerReferences ?? [];
export const isGoing = ({ object }: Item) => object.metadata?.deletionTimestamp !== undefined;
export const hasFinalizer = ({ object }: Item, finalizer: string) =>
  object.metadata?.finalizers?.includes(finalizer) ?? false;

export const FOREGROUND = 'foregroundDeletion';
export const ORPHAN = 'orphan';

/** Who owns whom, by uid: an owner may be named that is not there. */
export class Graph {
  readonly #items = new Map<string, Item>();
  readonly #dependents = new Map<string, Set<string>>();

  get(uid: string): Item | undefined {
    return this.#items.get(uid);
  }

  dependents(uid: string): Item[] {
    return [...(this.#dependents.get(uid) ?? [])].flatMap((dependent) => this.#items.get(dependent) ?? []);
  }

  put(item: Item): void {
    const uid = uidOf(item);
    this.remove(uid);
    this.#items.set(uid, item);
    for (const owner of ownersOf(item)) {
      const dependents = this.#dependents.get(owner.uid);
      if (dependents) dependents.add(uid);
      else this.#dependents.set(owner.uid, new Set([uid]));
    }
  }

  remove(uid: string): void {
    const item = this.#items.get(uid);
    if (!item) return;
    this.#items.delete(uid);
    for (const owner of ownersOf(item)) {
      const dependents = this.#dependents.get(owner.uid);
      dependents?.delete(uid);
      if (dependents?.size === 0) this.#dependents.delete(owner.uid);
    }
  }
}

export type Verdict =
  | { readonly action: 'keep' }
  /** Take references to these owners away: they are gone, or going without it. */
  | { readonly action: 'disown'; readonly uids: ReadonlySet<string> }
  | { readonly action: 'delete'; readonly policy: 'Foreground' | 'Background' | 'Orphan' };

/**
 * What becomes of an object with owners: it stays as long as one of them does, and goes with the last.
 * @param isThere of each owner, whether it exists.
 * @param ownerOf the owner as the graph has it.
 */
export function judge(
  item: Item,
  isThere: (owner: OwnerReference) => boolean,
  ownerOf: (uid: string) => Item | undefined,
  hasDependents: boolean,
): Verdict {
  const owners = ownersOf(item);
  const absent = owners.filter((owner) => !isThere(owner));
  const waiting = owners.filter((owner) => {
    const there = isThere(owner) ? ownerOf(owner.uid) : undefined;
    return there && isGoing(there) && hasFinalizer(there, FOREGROUND);
  });
  const solid = owners.length - absent.length - waiting.length;
  if (owners.length === 0) return { action: 'keep' };
  if (solid > 0) {
    const uids = new Set([...absent, ...waiting].map(({ uid }) => uid));
    return uids.size > 0 ? { action: 'disown', uids } : { action: 'keep' };
  }
  // The owner waits for this one, so this one waits for its own.
  if (waiting.length > 0 && hasDependents) return { action: 'delete', policy: 'Foreground' };
  const policy = hasFinalizer(item, ORPHAN)
    ? 'Orphan'
    : hasFinalizer(item, FOREGROUND)
      ? 'Foreground'
      : 'Background';
  return { action: 'delete', policy };
}
