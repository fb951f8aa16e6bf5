/** `namespaces/finalize`: whoever has emptied a namespace lets go of it. */
import type { Fields, KubeObject, StoredObject } from '../../object.ts';
import { type Call, keyOf, type Target } from '../call.ts';
import { isFinished } from '../deletes.ts';
import { changedMetadata } from '../metadata.ts';
import { getObject } from '../reads.ts';
import type { Cluster } from '../strategy.ts';

/** Writes `spec.finalizers`, which nothing else can. @throws {ApiError} NotFound, Conflict. */
export function finalizeNamespace(cluster: Cluster, target: Target, body: Fields, call: Call): StoredObject {
  const { store } = cluster;
  const { storage } = target.resource;
  const old = getObject(store, target);
  const { metadata = {}, spec } = body as KubeObject;
  const { resourceVersion } = changedMetadata(target, metadata, old);
  const finalizers = spec?.finalizers ?? [];
  const next = {
    ...old,
    metadata: { ...old.metadata, resourceVersion: resourceVersion! },
    spec: { ...old.spec, finalizers },
  };
  if (call.dryRun) return next;
  if (!isFinished(target.resource, next)) return store.put(storage, keyOf(target), next);
  store.delete(storage, keyOf(target));
  return next;
}
