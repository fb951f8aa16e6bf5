/**
 * What others have a say in before it is written: the seam between the registry and whoever reviews its requests.
 *
 * A write that nobody asks to see runs to its end without a pause. One that is reviewed is prepared, waits, and is stored
 * only if what it was prepared from is still so; otherwise it begins anew ({@link untilCurrent}).
 */
import type { KubeObject, StoredObject } from '../object.ts';
import { ApiError, conflict, MODIFIED } from '../status.ts';
import { type Call, keyOf, type Target } from './call.ts';
import type { Cluster } from './strategy.ts';

export type Operation = 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';

/** What is to be done (apiserver `admission.Attributes`). */
export type Attributes = {
  readonly operation: Operation;
  /** The name is '' of an object that is yet to get one. */
  readonly target: Target;
  readonly subresource?: string | undefined;
  /** As it is to be, in the version of the request; undefined when it is to go. */
  readonly object?: KubeObject;
  /** As it is; undefined when it is new. */
  readonly old?: KubeObject;
  readonly call: Call;
};

export type Admission = {
  /**
   * Lets others change an object before it is completed and validated.
   * @returns undefined when nobody asks to see it. Rejects with {@link ApiError} when it is refused.
   */
  mutate(attributes: Attributes): Promise<KubeObject | undefined> | undefined;
  /** Lets others refuse an object that is ready to be stored. The same otherwise. */
  validate(attributes: Attributes): Promise<void> | undefined;
};

/** Nobody has a say: what the server does by itself. */
export const UNREVIEWED: Admission = { mutate: () => undefined, validate: () => undefined };

/** Both reviews of what is asked for and not stored: a deletion, an eviction, a binding. @returns the object as changed. */
export function review(
  admission: Admission,
  attributes: Attributes,
): Promise<KubeObject | undefined> | undefined {
  const mutating = admission.mutate(attributes);
  if (!mutating) return admission.validate(attributes)?.then(() => attributes.object);
  return mutating.then(async (object) => {
    await admission.validate(object ? { ...attributes, object } : attributes);
    return object;
  });
}

/** While a write was reviewed, something that it rests on has changed. */
class Stale extends ApiError {}

/** How often a write begins anew before the client hears of it. */
const TRIES = 5;

/** Runs a write, and again when what it rests on has changed while it was reviewed. */
export async function untilCurrent<T>(write: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await write();
    } catch (error) {
      if (!(error instanceof Stale) || tries === TRIES) throw error;
    }
  }
}

export function stale({ resource, name }: Target): ApiError {
  const { message, details } = conflict(resource, name, MODIFIED);
  return new Stale('Conflict', message, details);
}

/** To be called after a pause. @param old as it was read before. @throws {ApiError} that makes {@link untilCurrent} begin anew. */
export function assertCurrent({ store }: Cluster, target: Target, { metadata: was }: StoredObject): void {
  const now = store.get(target.resource.storage, keyOf(target))?.metadata;
  if (now?.uid !== was.uid || now.resourceVersion !== was.resourceVersion) throw stale(target);
}
