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
  // How lists are merged is not known of custom resources.
  const types = [JSON_PATCH, MERGE, ...(resource.custom ? [] : [STRATEGIC]), APPLY];
  if (!types.includes(type)) throw unsupportedMediaType(type, types);
  if (type === APPLY) return applyObject(cluster, target, assertObject(patch), call, part);
  const old = show(resource, getObject(cluster.store, target));
  const next = patched(resource, type, structuredClone(old), patch);
  return change(cluster, target, old, decodeObject(resource, next, target, call), call, part);
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

/** Server-side apply: makes the object when there is none. */
async function applyObject(
  cluster: Cluster,
  target: Target,
  body: Fields,
  call: Call,
  part: Part,
): Promise<StoredObject> {
  const { resource, namespace, name } = target;
  const { managedFields, ...given } = (isFields(body.metadata) ? body.metadata : {}) as ObjectMeta;
  if (managedFields?.length) throw badRequest('metadata.managedFields must be nil');
  const named = { ...body, metadata: { ...given, name: given.name ?? name } };
  const intent = decodeIntent(resource, named, target, call);
  const found = cluster.store.get(resource.storage, keyOf(target));
  if (!found && (part !== 'main' || given.uid)) throw notFound(resource, name);
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
