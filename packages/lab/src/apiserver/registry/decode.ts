import { type Fields, isFields, type KubeObject, type ObjectMeta } from '../object.ts';
import { applyDefaults, prune } from '../schema/index.ts';
import { badRequest } from '../status.ts';
import type { Call } from './call.ts';
import { joinGroupVersion, type Resource } from './resource.ts';
import { schemaOf } from './schema-of.ts';

export type Place = { readonly namespace: string; readonly name?: string };

/**
 * Reads an object out of a body: it is of the resource's kind, and of the namespace and name that the path says. What its
 * schema does not know is refused, reported or dropped; what it leaves out gets its default.
 * @throws {ApiError} BadRequest.
 */
export function decodeObject(resource: Resource, body: Fields, place: Place, call: Call): KubeObject {
  const object = decodeIntent(resource, body, place, call);
  const schema = schemaOf(resource);
  // A built-in kind that has a spec is never without.
  if (!resource.custom && schema.properties?.has('spec')) object.spec ??= {};
  applyDefaults(resource, schema, object);
  return object;
}

/** The same without defaults: what the client said, and no more. */
export function decodeIntent(resource: Resource, body: Fields, place: Place, call: Call): KubeObject {
  const apiVersion = joinGroupVersion(resource);
  if (body.apiVersion && body.apiVersion !== apiVersion) {
    throw badRequest(
      `the API version in the data (${body.apiVersion}) does not match the expected API version (${apiVersion})`,
    );
  }
  if (body.kind && body.kind !== resource.kind) {
    throw badRequest(
      `the kind in the data (${body.kind}) does not match the expected kind (${resource.kind})`,
    );
  }
  if (body.metadata !== undefined && body.metadata !== null && !isFields(body.metadata)) {
    throw badRequest('metadata must be an object');
  }
  const metadata = { ...(body.metadata as ObjectMeta | undefined) };
  if (metadata.namespace && metadata.namespace !== place.namespace) {
    throw badRequest(
      `the namespace of the provided object does not match the namespace sent on the request (${metadata.namespace} and ${place.namespace || 'none'})`,
    );
  }
  if (place.name !== undefined && metadata.name && metadata.name !== place.name) {
    throw badRequest(
      `the name of the object (${metadata.name}) does not match the name on the URL (${place.name})`,
    );
  }
  return assertFields(resource, { ...body, apiVersion, kind: resource.kind, metadata }, call);
}

/** @returns a copy of what the schema knows of an object. */
function assertFields(resource: Resource, given: KubeObject, call: Call): KubeObject {
  const { object, unknown, mismatch } = prune(schemaOf(resource), given);
  const { kind, version } = resource;
  const refuse = (why: string) =>
    badRequest(`${kind} in version "${version}" cannot be handled as a ${kind}: ${why}`);
  if (mismatch) throw refuse(mismatch);
  const errors = unknown.map((path) => `unknown field "${path}"`);
  if (errors.length > 0 && call.fieldValidation === 'Strict')
    throw refuse(`strict decoding error: ${errors.join(', ')}`);
  if (call.fieldValidation === 'Warn') errors.forEach(call.warn);
  return object;
}
