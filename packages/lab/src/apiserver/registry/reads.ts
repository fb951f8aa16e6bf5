/** Get and list. */
import type { StoredObject } from '../object.ts';
import { ApiError, badRequest, notFound } from '../status.ts';
import type { Store } from '../storage/store.ts';
import { keyOf, type Target } from './call.ts';
import { show } from './conversion.ts';
import { parseFieldSelector } from './field-selector.ts';
import { parseLabelSelector } from './label-selector.ts';
import type { Resource } from './resource.ts';

/** @throws {ApiError} NotFound. */
export function getObject(store: Store, target: Target): StoredObject {
  const object = store.get(target.resource.storage, keyOf(target));
  if (!object) throw notFound(target.resource, target.name);
  return object;
}

/** Which objects of a resource a request means. */
export type Selection = {
  readonly resource: Resource;
  readonly matches: (object: StoredObject) => boolean;
};

/** Reads `labelSelector` and `fieldSelector`. @param namespace '' means all. @throws {ApiError} BadRequest. */
export function select(resource: Resource, namespace: string, query: URLSearchParams): Selection {
  const labels = parseLabelSelector(query.get('labelSelector'));
  const fields = parseFieldSelector(resource, query.get('fieldSelector'));
  const matches = (object: StoredObject) =>
    (namespace === '' || object.metadata.namespace === namespace) &&
    (labels === undefined || labels(object.metadata.labels ?? {})) &&
    // Of a custom resource a field may be selected by that the stored object has by default.
    (fields === undefined || fields(resource.custom ? show(resource, object) : object));
  return { resource, matches };
}

export type Page = {
  readonly items: StoredObject[];
  readonly revision: number;
  readonly continue?: string;
  readonly remaining?: number;
};

type Token = { readonly revision: number; readonly after: string };

/**
 * Lists what is selected, by `limit`, `continue`, `resourceVersion` and `resourceVersionMatch`. All pages of a list show
 * one revision.
 * @throws {ApiError} Expired when that has been forgotten, BadRequest, Timeout for a revision of the future.
 */
export function listObjects(store: Store, selection: Selection, query: URLSearchParams): Page {
  const limit = integer(query, 'limit');
  const token = readToken(query.get('continue'));
  const revision = token?.revision ?? listRevision(store, query);
  const { storage } = selection.resource;
  const objects = store.at(storage, revision);
  if (!objects) {
    throw token
      ? new ApiError(
          'Expired',
          'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.',
        )
      : tooOld(revision, store.history(storage).compacted);
  }
  const matching = [...objects].filter(([, object]) => selection.matches(object));
  matching.sort(([a], [b]) => (a < b ? -1 : 1));
  const rest = token ? matching.filter(([key]) => key > token.after) : matching;
  const items = limit > 0 ? rest.slice(0, limit) : rest;
  const last = items.at(-1);
  const page = { items: items.map(([, object]) => object), revision };
  if (!last || items.length === rest.length) return page;
  const next: Token = { revision, after: last[0] };
  return {
    ...page,
    continue: Buffer.from(JSON.stringify(next)).toString('base64url'),
    remaining: rest.length - items.length,
  };
}

export function tooOld(revision: number, compacted: number): ApiError {
  return new ApiError('Expired', `too old resource version: ${revision} (${compacted})`);
}

/** @throws {ApiError} Timeout, when the store is not there yet. */
export function assertReached(store: Store, revision: number): void {
  if (revision <= store.revision) return;
  throw new ApiError('Timeout', `Too large resource version: ${revision}, current: ${store.revision}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });
}

/** A parameter that is a whole number, 0 without it. @throws {ApiError} BadRequest. */
export function integer(query: URLSearchParams, name: string): number {
  const text = query.get(name) || '0';
  if (!/^\d{1,15}$/.test(text))
    throw badRequest(`${name}: Invalid value: ${JSON.stringify(text)}: not a number`);
  return Number(text);
}

/** The revision to list: the latest, unless the client wants an exact one. */
function listRevision(store: Store, query: URLSearchParams): number {
  const wanted = integer(query, 'resourceVersion');
  const match = query.get('resourceVersionMatch');
  if (match && !query.get('resourceVersion')) {
    throw badRequest('resourceVersionMatch is forbidden unless resourceVersion is provided');
  }
  if (match && match !== 'Exact' && match !== 'NotOlderThan') {
    throw badRequest(`resourceVersionMatch: Unsupported value: ${JSON.stringify(match)}`);
  }
  if (match === 'Exact' && wanted === 0) {
    throw badRequest('resourceVersionMatch "Exact" is forbidden for resourceVersion "0"');
  }
  assertReached(store, wanted);
  // Without a match, whoever wants pages wants those of the version that is named.
  const exact = match ? match === 'Exact' : wanted > 0 && integer(query, 'limit') > 0;
  return exact ? wanted : store.revision;
}

function readToken(text: string | null): Token | undefined {
  if (!text) return undefined;
  try {
    const { revision, after } = JSON.parse(Buffer.from(text, 'base64url').toString()) as Token;
    if (Number.isSafeInteger(revision) && typeof after === 'string') return { revision, after };
  } catch {
    // No token of ours.
  }
  throw badRequest('continue key is not valid');
}
