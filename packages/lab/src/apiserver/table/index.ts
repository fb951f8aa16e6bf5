/** How `kubectl get` shows objects (`meta.k8s.io/v1` Table): columns by kind, cells by object. */
import type { Fields, KubeObject, ObjectMeta, StoredObject } from '../object.ts';
import type { Resource } from '../registry/resource.ts';
import { ApiError } from '../status.ts';
import { age, type Column, date, string } from './column.ts';
import { COLUMNS } from './columns.ts';
import { valueByJsonPath } from './json-path.ts';

/** What of an object goes along with its cells. */
export type Included = 'None' | 'Metadata' | 'Object';

/** Reads `includeObject`. @throws {ApiError} BadRequest. */
export function includedObject(query: URLSearchParams): Included {
  const text = query.get('includeObject') || 'Metadata';
  if (text === 'None' || text === 'Metadata' || text === 'Object') return text;
  throw new ApiError('BadRequest', `unrecognized includeObject value: ${JSON.stringify(text)}`);
}

/** @param metadata of the list, empty for a single object, which lends its version. */
export function asTable(
  resource: Resource,
  objects: readonly StoredObject[],
  metadata: ObjectMeta,
  included: Included,
  now: number,
): Fields {
  const columns = columnsOf(resource);
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: metadata.resourceVersion ? metadata : { resourceVersion: objects[0]?.metadata.resourceVersion },
    columnDefinitions: columns.map(({ cell, ...definition }) => definition),
    rows: objects.map((object) => ({
      cells: columns.map(({ cell }) => cell(object, now) ?? null),
      ...(included === 'Metadata' && { object: asPartial(object) }),
      ...(included === 'Object' && { object }),
    })),
  };
}

const NAME: Column = {
  ...string('Name', ({ metadata }) => metadata.name, 'Name must be unique within a namespace.'),
  format: 'name',
};
const AGE = string(
  'Age',
  ({ metadata }, now) => age(metadata.creationTimestamp, now),
  'Time since creation.',
);

function columnsOf(resource: Resource): Column[] {
  if (!resource.custom) {
    const columns = COLUMNS[resource.storage] ?? [AGE];
    // Of an event the name says least.
    return columns.some(({ name }) => name === NAME.name) ? [...columns] : [NAME, ...columns];
  }
  if (resource.custom.columns.length === 0) return [NAME, AGE];
  return [
    NAME,
    ...resource.custom.columns.map(
      ({ name, type, format = '', description = '', priority = 0, jsonPath }) => ({
        name,
        type,
        format,
        description,
        priority,
        cell: (object: StoredObject, now: number) => {
          const value = valueByJsonPath(object, jsonPath);
          return type === 'date' ? date(value, now) : value;
        },
      }),
    ),
  ];
}

/** An object without anything but its metadata. */
export function asPartial({ metadata }: KubeObject): Fields {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata };
}

export function asPartialList(objects: readonly StoredObject[], metadata: ObjectMeta): Fields {
  return {
    kind: 'PartialObjectMetadataList',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    items: objects.map(asPartial),
  };
}
