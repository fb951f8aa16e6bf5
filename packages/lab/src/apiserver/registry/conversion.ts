/** One stored object as each of the resources that show it. */
import { isDeepStrictEqual } from 'node:util';
import type { Fields, KubeObject, StoredObject } from '../object.ts';
import { applyDefaults, prune, structuredCopy } from '../schema/index.ts';
import { type CustomTraits, joinGroupVersion, type Resource, splitGroupVersion } from './resource.ts';

type Conversion = {
  readonly show: (object: KubeObject) => KubeObject;
  readonly store: (object: KubeObject) => KubeObject;
};

/** The fields of `core/v1` Event and what `events.k8s.io/v1` calls them. */
const EVENT_FIELDS = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
  ['reportingComponent', 'reportingController'],
] as const;

const EVENTS: Conversion = {
  show: (object) => rename(object, EVENT_FIELDS, 'events.k8s.io/v1'),
  store: (object) =>
    rename(
      object,
      EVENT_FIELDS.map(([core, events]) => [events, core]),
      'v1',
    ),
};

function conversion(resource: Resource): Conversion | undefined {
  return resource.group === 'events.k8s.io' ? EVENTS : undefined;
}

/** A stored object as a resource shows it. */
export function show(resource: Resource, object: StoredObject): StoredObject {
  const special = conversion(resource);
  if (special) return special.show(object) as StoredObject;
  if (resource.custom) return remembered(resource, resource.custom, object);
  const apiVersion = joinGroupVersion(resource);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}

/** What a resource shows, as it is stored. */
export function store(resource: Resource, object: KubeObject): KubeObject {
  const { group, custom } = resource;
  if (!custom) return conversion(resource)?.store(object) ?? object;
  const apiVersion = joinGroupVersion({ group, version: custom.storageVersion });
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}

/** A definition that is changed makes other resources. */
const shownBefore = new WeakMap<Resource, WeakMap<StoredObject, StoredObject>>();

function remembered(resource: Resource, custom: CustomTraits, object: StoredObject): StoredObject {
  const known = shownBefore.get(resource) ?? new WeakMap<StoredObject, StoredObject>();
  shownBefore.set(resource, known);
  const before = known.get(object);
  if (before) return before;
  const shown = showCustom(resource, custom, object);
  // Most are stored as they are shown, and one of a kind is enough to keep.
  const kept = isDeepStrictEqual(shown, object) ? object : shown;
  known.set(object, kept);
  return kept;
}

/**
 * An object as a definition has it that may have been changed since the object was stored: completed by the version that it
 * is stored in, and without what the version does not know that it is shown in.
 */
function showCustom(
  resource: Resource,
  { schema, schemas }: CustomTraits,
  object: StoredObject,
): StoredObject {
  const completed = structuredCopy(object);
  const [, version] = splitGroupVersion(object.apiVersion);
  applyDefaults(resource, schemas.get(version) ?? schema, completed);
  completed.apiVersion = joinGroupVersion(resource);
  return prune(schema, completed).object;
}

function rename(
  object: KubeObject,
  fields: readonly (readonly [from: string, to: string])[],
  apiVersion: string,
): KubeObject {
  const names = new Map(fields);
  const renamed: Fields = Object.fromEntries(
    Object.entries(object).map(([name, value]) => [names.get(name) ?? name, value]),
  );
  return { ...(renamed as KubeObject), apiVersion };
}
