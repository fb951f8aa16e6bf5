/** Patch: an update that is made out of the object as it is, in one of four ways. */
import {
  type Fields,
  isFields,
  type KubeObject,
  type ObjectMeta,
  type StoredObject,
  timestamp,
} from '../object.ts';
import { applyPatch, jsonPatch, mergePatch, strategicMergePatch } from '../patch/index.ts';
import { badRequest, notFound, unsupportedMediaType } from '../status.ts';
import { type Call, keyOf, type Target } from './call.ts';
import { show } from './conversion.ts';
import { decodeIntent, decodeObject } from './decode.ts';
import { getObject } from './reads.ts';
import { joinGroupVersion, type Resource } from './resource.ts';
import { schemaOf } from './schema-of.ts';
import type { Cluster } from './strategy.ts';
import { admit, change, type Part } from './writes.ts';

const JSON_PATCH = 'application/json-patch+json';
const MERGE = 'application/merge-patch+json';
const STRATEGIC = 'application/strategic-merge-patch+json';
export const APPLY = 'application/apply-patch+yaml';

/**
 * Changes an object by a patch, or makes it, when it is applied and there is none.
 * @param type the patch's media type.
 * @throws {ApiError} UnsupportedMediaType, BadRequest, NotFound, Conflict, Invalid.
 */
export async function patchObject(
  cluster: Cluster,
  target: Target,
  type: string,
  patch: unknown,
  call: Call,
  part: Part,
): Promise<StoredObject> {
  const { resource } = target;
  assertPatchType(resource, type);
  if (type === APPLY) return applyObject(cluster, target, patch, call, part);
  const old = show(resource, getObject(cluster.store, target));
  const next = patched(resource, type, structuredClone(old), patch);
  return change(cluster, target, old, decodeObject(resource, next, target, call), call, part);
}

/** @throws {ApiError} UnsupportedMediaType of what is no patch that a resource takes. */
export function assertPatchType({ custom }: Pick<Resource, 'custom'>, type: string, applies = true): void {
  // How lists are merged is not known of custom resources.
  const types = [JSON_PATCH, MERGE, ...(custom ? [] : [STRATEGIC]), ...(applies ? [APPLY] : [])];
  if (!types.includes(type)) throw unsupportedMediaType(type, types);
}

/** An object as a patch of one of the types makes it that are no apply. The object may be changed. */
export function patched(resource: Resource, type: string, object: KubeObject, patch: unknown): Fields {
  if (type === JSON_PATCH) return jsonPatch(object, patch, resource);
  if (type === MERGE) return mergePatch(object, assertObject(patch)) as Fields;
  return strategicMergePatch(schemaOf(resource), object, assertObject(patch)) as Fields;
}

function assertObject(patch: unknown): Fields {
  if (isFields(patch)) return patch;
  throw badRequest('the patch must be an object');
}

/** What a client applies: what it says, and no more. @throws {ApiError} BadRequest. */
export function decodeApplied(resource: Resource, patch: unknown, target: Target, call: Call): KubeObject {
  const body = assertObject(patch);
  const { managedFields, ...given } = (isFields(body.metadata) ? body.metadata : {}) as ObjectMeta;
  if (managedFields?.length) throw badRequest('metadata.managedFields must be nil');
  const named = { ...body, metadata: { ...given, name: given.name ?? target.name } };
  return decodeIntent(resource, named, target, call);
}

/** Server-side apply: makes the object when there is none. */
async function applyObject(
  cluster: Cluster,
  target: Target,
  patch: unknown,
  call: Call,
  part: Part,
): Promise<StoredObject> {
  const { resource, namespace, name } = target;
  const intent = decodeApplied(resource, patch, target, call);
  const found = cluster.store.get(resource.storage, keyOf(target));
  if (!found && (part !== 'main' || intent.metadata.uid)) throw notFound(resource, name);
  const old = found && show(resource, found);
  const applied = applyPatch({
    schema: schemaOf(resource),
    resource,
    live: old,
    applied: intent,
    manager: call.fieldManager,
    force: call.force,
    time: timestamp(cluster.now()),
    apiVersion: joinGroupVersion(resource),
    subresource: part === 'status' ? 'status' : undefined,
  });
  const object = decodeObject(resource, applied.object, target, call);
  if (old) return change(cluster, target, old, object, call, part, applied.managedFields);
  return admit(cluster, resource, namespace, object, call, applied.managedFields);
}
