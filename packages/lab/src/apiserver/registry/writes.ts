/**
 * Create and update. What is not reviewed runs to its end without a pause, so it is one transaction; what is, becomes one when
 * it has been: see `admission.ts`.
 */
import { isDeepStrictEqual } from 'node:util';
import { type Fields, type KubeObject, type ObjectMeta, type StoredObject, timestamp } from '../object.ts';
import { trackUpdate } from '../patch/index.ts';
import { alreadyExists, forbidden, invalid, notFound } from '../status.ts';
import { validateCreate, validateUpdate } from '../validation/index.ts';
import { assertCurrent, stale } from './admission.ts';
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

/** Which part of an object a request writes: all but its status, its status alone, or its number of replicas. */
export type Part = 'main' | 'status' | 'scale';

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
export async function createObject(
  cluster: Cluster,
  resource: Resource,
  namespace: string,
  body: Fields,
  call: Call,
): Promise<StoredObject> {
  return admit(cluster, resource, namespace, decodeObject(resource, body, { namespace }, call), call);
}

/** Checks a new object and stores it. @param managed who owns which fields, when that is known already. */
export async function admit(
  cluster: Cluster,
  resource: Resource,
  namespace: string,
  wanted: KubeObject,
  call: Call,
  managed?: unknown[],
): Promise<StoredObject> {
  const strategy = strategyOf(resource);
  const { name: chosen = '', generateName = '' } = wanted.metadata;
  if (resource.namespaced) {
    assertNamespace(cluster, resource, namespace, chosen || generateName);
    wanted.metadata.namespace = namespace;
  }
  strategy.admit?.(wanted, cluster);
  const asked = { operation: 'CREATE', target: { resource, namespace, name: chosen }, call } as const;
  const mutating = cluster.admission.mutate({ ...asked, object: wanted });
  const object = mutating ? decodeMutated(asked.target, await mutating, call) : wanted;
  if (mutating) {
    if (resource.namespaced) assertNamespace(cluster, resource, namespace, chosen || generateName);
    strategy.admit?.(object, cluster);
  }
  object.metadata = freeMetadata(cluster, resource, namespace, object.metadata);
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
  const target = { resource, namespace, name };
  const validating = cluster.admission.validate({ ...asked, target, object });
  if (validating) {
    await validating;
    if (resource.namespaced) assertNamespace(cluster, resource, namespace, name);
    if (exists(cluster, resource, object.metadata)) throw stale(target);
    claimAgain(cluster, target, object);
  }
  if (call.dryRun) return object as StoredObject;
  const stored = cluster.store.put(resource.storage, keyOf({ namespace, name }), store(resource, object));
  return show(resource, stored);
}

/** An object as others have made it: completed as one that a client sends. What they add and nobody knows is dropped. */
function decodeMutated(target: Target, mutated: KubeObject | undefined, call: Call): KubeObject {
  const { resource, namespace, name } = target;
  return decodeObject(resource, mutated!, name ? { namespace, name } : { namespace }, {
    ...call,
    fieldValidation: 'Ignore',
  });
}

/** The metadata of a new object, whose name is free where it is for the server to choose. */
function freeMetadata(
  cluster: Cluster,
  resource: Resource,
  namespace: string,
  given: ObjectMeta,
): ObjectMeta {
  let metadata = newMetadata(resource, given, namespace, cluster.now());
  for (let tries = 1; !given.name && tries < NAMES_TRIED && exists(cluster, resource, metadata); tries += 1) {
    metadata = newMetadata(resource, given, namespace, cluster.now());
  }
  return metadata;
}

/** Makes sure after a pause that what an object claims is not another's by now. */
function claimAgain(cluster: Cluster, target: Target, object: KubeObject, old?: StoredObject): void {
  try {
    strategyOf(target.resource).allocate?.(object, old, cluster);
  } catch {
    throw stale(target);
  }
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
export async function updateObject(
  cluster: Cluster,
  target: Target,
  body: Fields,
  call: Call,
  part: Part,
): Promise<StoredObject> {
  const old = show(target.resource, getObject(cluster.store, target));
  const object = decodeObject(target.resource, body, target, call);
  assertVersion(target, object.metadata);
  return change(cluster, target, old, object, call, part);
}

/**
 * Makes one state of an object out of another, as far as the request may.
 * @param old as the resource shows it.
 */
export async function change(
  cluster: Cluster,
  target: Target,
  old: StoredObject,
  wanted: KubeObject,
  call: Call,
  part: Part,
  managed?: unknown[],
): Promise<StoredObject> {
  const { resource } = target;
  const strategy = strategyOf(resource);
  const subresource = part === 'main' ? undefined : part;
  const asked = { operation: 'UPDATE', target, subresource, old, call } as const;
  const sent = { ...wanted, metadata: changedMetadata(target, wanted.metadata, old) };
  const mutating = cluster.admission.mutate({ ...asked, object: sent });
  const given = mutating ? decodeMutated(target, await mutating, call) : wanted;
  if (mutating) assertCurrent(cluster, target, old);
  const metadata = changedMetadata(target, given.metadata, old);
  let next: KubeObject;
  if (part === 'status') {
    const metadataOf = METADATA_WITH_STATUS.has(resource.storage) ? metadata : { ...old.metadata };
    next = { ...structuredClone(old), metadata: metadataOf };
    setStatus(next, given.status);
    strategy.updateStatus?.(next, old, cluster);
  } else {
    next = { ...given, metadata };
    if (resource.subresources.includes('status')) setStatus(next, old.status);
    strategy.update?.(next, old, cluster, resource);
  }
  if (part !== 'status') countGeneration(resource, next, !isDeepStrictEqual(intentOf(next), intentOf(old)));
  // Statuses of built-in kinds are written by components that know them; those of others have a schema.
  if (part !== 'status' || resource.custom) {
    const causes = [
      ...validateUpdate(resource, next, old),
      ...(strategy.validate?.(next, old, cluster) ?? []),
    ];
    if (causes.length > 0) throw invalid(resource, target.name, causes);
  }
  if (part !== 'status') strategy.allocate?.(next, old, cluster);
  setManaged(next, managed ?? tracked(cluster, resource, old, next, call, part));
  const validating = cluster.admission.validate({ ...asked, object: next });
  if (validating) {
    await validating;
    assertCurrent(cluster, target, old);
    if (part !== 'status') claimAgain(cluster, target, next, old);
  }
  const stored = store(resource, next);
  // What is shown as it was may be stored otherwise: in an earlier version, or without what has a default since.
  if (isDeepStrictEqual(stored, cluster.store.get(resource.storage, keyOf(target)))) return old;
  if (call.dryRun) return next as StoredObject;
  if (isFinished(resource, next)) {
    cluster.store.delete(resource.storage, keyOf(target));
    return next as StoredObject;
  }
  return show(resource, cluster.store.put(resource.storage, keyOf(target), stored));
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
    subresource: part === 'main' ? undefined : part,
    time: timestamp(cluster.now()),
    apiVersion: joinGroupVersion(resource),
  });
}

function setManaged(object: KubeObject, managed: unknown[]): void {
  if (managed.length > 0) object.metadata.managedFields = managed;
  else delete object.metadata.managedFields;
}
