/** Create and update: each runs to its end without a pause, so it is one transaction. */
import { isDeepStrictEqual } from 'node:util';
import { type Fields, type KubeObject, type ObjectMeta, type StoredObject, timestamp } from '../object.ts';
import { trackUpdate } from '../patch/index.ts';
import { alreadyExists, forbidden, invalid, notFound } from '../status.ts';
import { validateCreate, validateUpdate } from '../validation/index.ts';
import type { Call, Target } from './call.ts';
import { keyOf } from './call.ts';
import { show, store } from './conversion.ts';
import { decodeObject } from './decode.ts';
import { isFinished } from './deletes.ts';
import { assertVersion, changedMetadata, countGeneration, newMetadata } from './metadata.ts';
import { getObject } from './reads.ts';
import { joinGroupVersion, type Resource } from './resource.ts';
import { BUILT_IN } from './resources.ts';
import { schemaOf } from './schema-of.ts';
import { strategyOf } from './strategies/index.ts';
import { newStatus } from './strategies/statuses.ts';
import type { Cluster } from './strategy.ts';

/** Which part of an object a request writes: all but its status, or its status alone. */
export type Part = 'main' | 'status';

const NAMESPACES = BUILT_IN.find(({ storage }) => storage === 'namespaces')!;
/** Whose labels and annotations are written along with their status, by the kubelet. */
const METADATA_WITH_STATUS = new Set(['pods', 'nodes']);
/** Tries to find a name that is free after a prefix. */
const NAMES_TRIED = 8;

/**
 * Makes a new object out of a body.
 * @param namespace '' of cluster-wide resources.
 * @returns it as the resource shows it.
 * @throws {ApiError} BadRequest, NotFound of the namespace, Forbidden, Invalid, AlreadyExists.
 */
export function createObject(
  cluster: Cluster,
  resource: Resource,
  namespace: string,
  body: Fields,
  call: Call,
): StoredObject {
  return admit(cluster, resource, namespace, decodeObject(resource, body, { namespace }, call), call);
}

/** Checks a new object and stores it. @param managed who owns which fields, when that is known already. */
export function admit(
  cluster: Cluster,
  resource: Resource,
  namespace: string,
  object: KubeObject,
  call: Call,
  managed?: unknown[],
): StoredObject {
  const strategy = strategyOf(resource);
  const given = object.metadata;
  if (resource.namespaced)
    assertNamespace(cluster, resource, namespace, given.name ?? given.generateName ?? '');
  object.metadata = newMetadata(resource, given, namespace, cluster.now());
  for (
    let tries = 1;
    !given.name && tries < NAMES_TRIED && exists(cluster, resource, object.metadata);
    tries += 1
  ) {
    object.metadata = newMetadata(resource, given, namespace, cluster.now());
  }
  if (resource.subresources.includes('status') && !strategy.keepsStatus)
    setStatus(object, newStatus(resource));
  strategy.create?.(object, cluster, resource);
  const { name = '' } = object.metadata;
  const causes = [
    ...validateCreate(resource, object),
    ...(strategy.validate?.(object, undefined, cluster) ?? []),
  ];
  if (causes.length > 0) throw invalid(resource, name, causes);
  if (exists(cluster, resource, object.metadata)) throw alreadyExists(resource, name);
  strategy.allocate?.(object, undefined, cluster);
  setManaged(object, managed ?? tracked(cluster, resource, undefined, object, call, 'main'));
  const stored = store(resource, object);
  if (call.dryRun) return stored as StoredObject;
  return show(resource, cluster.store.put(resource.storage, keyOf({ namespace, name }), stored));
}

function exists(cluster: Cluster, resource: Resource, { namespace = '', name = '' }: ObjectMeta): boolean {
  return cluster.store.get(resource.storage, keyOf({ namespace, name })) !== undefined;
}

function assertNamespace(cluster: Cluster, resource: Resource, namespace: string, name: string): void {
  const found = cluster.store.get('namespaces', keyOf({ namespace: '', name: namespace }));
  if (!found) throw notFound(NAMESPACES, namespace);
  if (!found.metadata.deletionTimestamp) return;
  const why = `unable to create new content in namespace ${namespace} because it is being terminated`;
  const message = `namespace ${namespace} is being terminated`;
  throw forbidden(resource, name, why, [
    { reason: 'NamespaceTerminating', message, field: 'metadata.namespace' },
  ]);
}

/**
 * Replaces an object, or its status, by a body.
 * @throws {ApiError} BadRequest, NotFound, Conflict, Invalid.
 */
export function updateObject(
  cluster: Cluster,
  target: Target,
  body: Fields,
  call: Call,
  part: Part,
): StoredObject {
  const old = show(target.resource, getObject(cluster.store, target));
  const object = decodeObject(target.resource, body, target, call);
  assertVersion(target, object.metadata);
  return change(cluster, target, old, object, call, part);
}

/**
 * Makes one state of an object out of another, as far as the request may.
 * @param old as the resource shows it.
 */
export function change(
  cluster: Cluster,
  target: Target,
  old: StoredObject,
  wanted: KubeObject,
  call: Call,
  part: Part,
  managed?: unknown[],
): StoredObject {
  const { resource } = target;
  const strategy = strategyOf(resource);
  const metadata = changedMetadata(target, wanted.metadata, old);
  let next: KubeObject;
  if (part === 'status') {
    const metadataOf = METADATA_WITH_STATUS.has(resource.storage) ? metadata : { ...old.metadata };
    next = { ...structuredClone(old), metadata: metadataOf };
    setStatus(next, wanted.status);
    strategy.updateStatus?.(next, old, cluster);
  } else {
    next = { ...wanted, metadata };
    if (resource.subresources.includes('status')) setStatus(next, old.status);
    strategy.update?.(next, old, cluster, resource);
  }
  if (part === 'main') countGeneration(resource, next, !isDeepStrictEqual(intentOf(next), intentOf(old)));
  // Statuses of built-in kinds are written by components that know them; those of others have a schema.
  if (part === 'main' || resource.custom) {
    const causes = [
      ...validateUpdate(resource, next, old),
      ...(strategy.validate?.(next, old, cluster) ?? []),
    ];
    if (causes.length > 0) throw invalid(resource, target.name, causes);
  }
  if (part === 'main') strategy.allocate?.(next, old, cluster);
  setManaged(next, managed ?? tracked(cluster, resource, old, next, call, part));
  if (isDeepStrictEqual(next, old)) return old;
  if (call.dryRun) return next as StoredObject;
  if (isFinished(resource, next)) {
    cluster.store.delete(resource.storage, keyOf(target));
    return next as StoredObject;
  }
  return show(resource, cluster.store.put(resource.storage, keyOf(target), store(resource, next)));
}

function setStatus(object: KubeObject, status: Fields | undefined): void {
  if (status) object.status = status;
  else delete object.status;
}

/** An object without what is not wanted of it, but is so. */
function intentOf({ metadata, status, ...intent }: KubeObject): Fields {
  return intent;
}

function tracked(
  cluster: Cluster,
  resource: Resource,
  old: StoredObject | undefined,
  next: KubeObject,
  call: Call,
  part: Part,
): unknown[] {
  return trackUpdate({
    schema: schemaOf(resource),
    old,
    next,
    manager: call.fieldManager,
    subresource: part === 'status' ? 'status' : undefined,
    time: timestamp(cluster.now()),
    apiVersion: joinGroupVersion(resource),
  });
}

function setManaged(object: KubeObject, managed: unknown[]): void {
  if (managed.length > 0) object.metadata.managedFields = managed;
  else delete object.metadata.managedFields;
}
