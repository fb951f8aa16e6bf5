/** One stored object as each of the resources that show it. */
import type { Fields, KubeObject, StoredObject } from '../object.ts';
import { applyDefaults, prune } from '../schema/index.ts';
import { joinGroupVersion, type Resource } from './resource.ts';
import { schemaOf } from './schema-of.ts';

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
  const apiVersion = joinGroupVersion(resource);
  if (object.apiVersion === apiVersion) return object;
  if (!resource.custom) return { ...object, apiVersion };
  // The versions of a custom resource have the same fields, but each knows and completes its own.
  const shown = prune(schemaOf(resource), { ...object, apiVersion }).object;
  applyDefaults(resource, schemaOf(resource), shown);
  return shown;
}

/** What a resource shows, as it is stored. */
export function store(resource: Resource, object: KubeObject): KubeObject {
  return conversion(resource)?.store(object) ?? object;
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
