import { isNotFound, type KubeClient, type KubeObject, type LabelSelector } from '@enid/kube';
import { controllerOf, controllerReference } from './owners.ts';
import { isDeleted } from './pods.ts';
import { isEmptySelector, selects } from './selectors.ts';

export type Claim<T> = {
  readonly client: KubeClient;
  readonly owner: KubeObject;
  readonly apiVersion: string;
  readonly kind: string;
  readonly selector: LabelSelector | undefined;
  /** What the owner manages now. */
  readonly owned: readonly T[];
  /** What nothing manages, in the owner's namespace. */
  readonly orphans: readonly T[];
  readonly pathOf: (object: T) => string;
  readonly mayAdopt?: (object: T) => boolean;
};

/**
 * Settles what an owner manages: adopts what its selector selects and nothing manages, and releases what it selects no
 * more. @returns what it manages then.
 */
export async function claim<T extends KubeObject>(options: Claim<T>): Promise<T[]> {
  const { client, owner, apiVersion, kind, selector, owned, orphans, pathOf, mayAdopt } = options;
  if (isDeleted(owner)) return [...owned];
  const kept: T[] = [];
  for (const object of owned) {
    if (selects(selector, object.metadata?.labels) || isDeleted(object)) kept.push(object);
    else await write(client, pathOf(object), object, withoutOwner(object, owner.metadata?.uid));
  }
  if (isEmptySelector(selector)) return kept;
  for (const object of orphans) {
    if (!selects(selector, object.metadata?.labels) || isDeleted(object) || mayAdopt?.(object) === false)
      continue;
    const references = [
      ...(object.metadata?.ownerReferences ?? []),
      controllerReference(owner, apiVersion, kind),
    ];
    const adopted = await write<T>(client, pathOf(object), object, references);
    if (adopted) kept.push(adopted);
  }
  return kept;
}

const withoutOwner = (object: KubeObject, uid: string | undefined) =>
  (object.metadata?.ownerReferences ?? []).filter((reference) => reference.uid !== uid);

/** Writes references to the very object that was seen, as it was seen. */
async function write<T>(
  client: KubeClient,
  path: string,
  object: KubeObject,
  ownerReferences: unknown[],
): Promise<T | undefined> {
  const { uid, resourceVersion } = object.metadata ?? {};
  try {
    return await client.patch<T>(path, { metadata: { uid, resourceVersion, ownerReferences } });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Of a namespace's sets those that may want to adopt an object without a controller. */
export function suitors<
  S extends KubeObject & { readonly spec?: { readonly selector?: LabelSelector | undefined } | undefined },
>(object: KubeObject, sets: readonly S[]): S[] {
  if (controllerOf(object) || isDeleted(object)) return [];
  return sets.filter(
    ({ spec }) => !isEmptySelector(spec?.selector) && selects(spec?.selector, object.metadata?.labels),
  );
}
