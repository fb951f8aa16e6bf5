import { randomInt, randomUUID } from 'node:crypto';
import { type KubeObject, type ObjectMeta, type StoredObject, timestamp } from '../object.ts';
import { badRequest, conflict, field, invalid, MODIFIED } from '../status.ts';
import type { Target } from './call.ts';
import type { Resource } from './resource.ts';

/** No vowels and no digits that look like letters, so that names spell nothing. */
const SUFFIX = 'bcdfghjklmnpqrstvwxz2456789';
const SUFFIX_LENGTH = 5;
const GENERATED_LENGTH = 63;

/** A name that begins as wanted (apiserver `names.SimpleNameGenerator`). */
export function generateName(base: string): string {
  const random = Array.from({ length: SUFFIX_LENGTH }, () => SUFFIX[randomInt(SUFFIX.length)]).join('');
  return base.slice(0, GENERATED_LENGTH - SUFFIX_LENGTH) + random;
}

/**
 * The metadata of a new object: what the client may say, and what is the server's to say.
 * @throws {ApiError} Invalid without a name.
 */
export function newMetadata(
  resource: Resource,
  given: ObjectMeta,
  namespace: string,
  now: number,
): ObjectMeta {
  if (given.resourceVersion) throw badRequest('resourceVersion should not be set on objects to be created');
  const name = given.name || (given.generateName ? generateName(given.generateName) : undefined);
  if (!name) {
    const cause = field.required('metadata.name', 'name or generateName is required');
    throw invalid(resource, '', [cause]);
  }
  const { deletionTimestamp, deletionGracePeriodSeconds, selfLink, generation, ...kept } = given;
  const { resourceVersion, ...metadata } = kept;
  return {
    ...metadata,
    name,
    ...(namespace && { namespace }),
    uid: randomUUID(),
    creationTimestamp: timestamp(now),
    ...(resource.generation && { generation: 1 }),
  };
}

/**
 * The metadata of a changed object: what is the server's to say stays.
 * @throws {ApiError} Conflict when the change was made to another version or another object.
 */
export function changedMetadata(target: Target, given: ObjectMeta, old: StoredObject): ObjectMeta {
  const was = old.metadata;
  if (given.uid && given.uid !== was.uid) {
    const why = `Precondition failed: UID in precondition: ${given.uid}, UID in object meta: ${was.uid}`;
    throw conflict(target.resource, target.name, why);
  }
  if (given.resourceVersion && given.resourceVersion !== was.resourceVersion) {
    throw conflict(target.resource, target.name, MODIFIED);
  }
  const { selfLink, ...metadata } = given;
  const kept = ['namespace', 'generateName', 'creationTimestamp', 'generation'] as const;
  const deletion = ['deletionTimestamp', 'deletionGracePeriodSeconds'] as const;
  const next: ObjectMeta = {
    ...metadata,
    name: was.name,
    uid: was.uid,
    resourceVersion: was.resourceVersion,
  };
  for (const name of [...kept, ...deletion]) {
    if (was[name] === undefined) delete next[name];
    else Object.assign(next, { [name]: was[name] });
  }
  return next;
}

/** Built-in resources of which nobody replaces an object without saying which version of it, by storage. */
const VERSIONED = new Set([
  'leases.coordination.k8s.io',
  'poddisruptionbudgets.policy',
  'customresourcedefinitions.apiextensions.k8s.io',
]);

/** @throws {ApiError} Invalid when a replacement must name the version that it replaces, and does not. */
export function assertVersion({ resource, name }: Target, { resourceVersion }: ObjectMeta): void {
  if (resourceVersion || !(resource.custom || VERSIONED.has(resource.storage))) return;
  throw invalid(resource, name, [
    field.invalid('metadata.resourceVersion', 0, 'must be specified for an update'),
  ]);
}

/** Counts a change of what is wanted: of anything but metadata and status. */
export function countGeneration(resource: Resource, next: KubeObject, specChanged: boolean): void {
  if (resource.generation && specChanged) next.metadata.generation = (next.metadata.generation ?? 0) + 1;
}
