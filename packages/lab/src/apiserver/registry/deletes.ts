/** Delete: at once, or when those who hold the object have let go of it. */
import { type Fields, isFields, type KubeObject, type StoredObject, timestamp } from '../object.ts';
import { badRequest, conflict, invalid } from '../status.ts';
import { type POLICIES, validatePropagation } from '../validation/options.ts';
import { assertCurrent, review } from './admission.ts';
import { type Call, keyOf, type Target } from './call.ts';
import { show, store } from './conversion.ts';
import { getObject } from './reads.ts';
import type { Resource } from './resource.ts';
import { strategyOf } from './strategies/index.ts';
import type { Cluster } from './strategy.ts';

/** How the garbage collector is told to do something before the object goes. */
const POLICY_FINALIZERS: Record<string, string | undefined> = {
  Orphan: 'orphan',
  Foreground: 'foregroundDeletion',
};

export type DeleteOptions = {
  readonly gracePeriodSeconds?: number;
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly propagationPolicy?: (typeof POLICIES)[number];
};

/** Reads `DeleteOptions` from a body and from the query. @throws {ApiError} BadRequest, Invalid. */
export function readDeleteOptions(body: Fields, query: URLSearchParams): DeleteOptions {
  const seconds = body.gracePeriodSeconds ?? query.get('gracePeriodSeconds') ?? undefined;
  const grace = seconds === undefined ? undefined : Number(seconds);
  if (grace !== undefined && !(Number.isSafeInteger(grace) && grace >= 0)) {
    throw badRequest(
      `gracePeriodSeconds: Invalid value: ${JSON.stringify(seconds)}: must be greater than or equal to 0`,
    );
  }
  const orphan = body.orphanDependents ?? query.get('orphanDependents') ?? undefined;
  const legacy = orphan === undefined ? undefined : String(orphan) === 'true' ? 'Orphan' : 'Background';
  const named = body.propagationPolicy ?? query.get('propagationPolicy') ?? undefined;
  const causes = [...validatePropagation(named, orphan)];
  if (causes.length > 0) throw invalid({ group: 'meta.k8s.io', kind: 'DeleteOptions' }, '', causes);
  const policy = named ?? legacy;
  return {
    ...(grace !== undefined && { gracePeriodSeconds: grace }),
    ...(isFields(body.preconditions) && { preconditions: body.preconditions }),
    ...(policy !== undefined && { propagationPolicy: policy as (typeof POLICIES)[number] }),
  };
}

/** Whether an object that is being deleted has nothing left to wait for. */
export function isFinished(resource: Resource, object: KubeObject): boolean {
  const { metadata } = object;
  return (
    metadata.deletionTimestamp !== undefined &&
    !metadata.finalizers?.length &&
    !metadata.deletionGracePeriodSeconds &&
    !strategyOf(resource).isHeld?.(object)
  );
}

export type Deleted = {
  readonly object: StoredObject;
  /** Whether it is gone already. */
  readonly gone: boolean;
};

/** @throws {ApiError} NotFound, Conflict with a precondition. */
export async function deleteObject(
  cluster: Cluster,
  target: Target,
  options: DeleteOptions,
  call: Call,
): Promise<Deleted> {
  const { resource } = target;
  const strategy = strategyOf(resource);
  const old = getObject(cluster.store, target);
  assertPreconditions(target, old, options);
  const asked = { operation: 'DELETE', target, old: show(resource, old), call } as const;
  const reviewing = review(cluster.admission, asked);
  if (reviewing) {
    await reviewing;
    assertCurrent(cluster, target, old);
  }
  const grace = strategy.grace?.(old, options.gracePeriodSeconds) ?? 0;
  const next = structuredClone(old) as KubeObject;
  strategy.beginDelete?.(next, cluster);
  next.metadata.finalizers = finalizersFor(old.metadata.finalizers ?? [], options.propagationPolicy);
  if (next.metadata.finalizers.length === 0) delete next.metadata.finalizers;
  postpone(resource, next, old, grace, cluster.now());
  const gone = isFinished(resource, next);
  if (call.dryRun) return { object: show(resource, next as StoredObject), gone };
  const key = keyOf(target);
  if (gone) return { object: show(resource, cluster.store.delete(resource.storage, key)), gone };
  const changed = JSON.stringify(next) !== JSON.stringify(old);
  const object = changed ? cluster.store.put(resource.storage, key, store(resource, next)) : old;
  return { object: show(resource, object), gone };
}

/** Sets when an object is to be gone. A second request can only make that earlier. */
function postpone(resource: Resource, next: KubeObject, old: StoredObject, grace: number, now: number): void {
  const { metadata } = next;
  const until = now + grace * 1000;
  const known = old.metadata.deletionTimestamp;
  if (known !== undefined && grace >= (old.metadata.deletionGracePeriodSeconds ?? 0)) return;
  metadata.deletionTimestamp = known !== undefined && Date.parse(known) < until ? known : timestamp(until);
  metadata.deletionGracePeriodSeconds = grace;
  if (known === undefined && resource.generation) metadata.generation = (metadata.generation ?? 0) + 1;
}

function finalizersFor(finalizers: readonly string[], policy: string | undefined): string[] {
  if (policy === undefined) return [...finalizers];
  const others = finalizers.filter((name) => !Object.values(POLICY_FINALIZERS).includes(name));
  const wanted = POLICY_FINALIZERS[policy];
  return wanted ? [...others, wanted] : others;
}

function assertPreconditions(
  target: Target,
  { metadata }: StoredObject,
  { preconditions }: DeleteOptions,
): void {
  const refuse = (what: string, wanted: string, is: string) =>
    conflict(
      target.resource,
      target.name,
      `Precondition failed: ${what} in precondition: ${wanted}, ${what} in object meta: ${is}`,
    );
  const { uid, resourceVersion } = preconditions ?? {};
  if (uid && uid !== metadata.uid) throw refuse('UID', uid, metadata.uid);
  if (resourceVersion && resourceVersion !== metadata.resourceVersion) {
    throw refuse('ResourceVersion', resourceVersion, metadata.resourceVersion);
  }
}
