/** Who owns which fields of an object: its `metadata.managedFields`, read and written. */
import { type Fields, isFields } from '../../object.ts';
import { FieldSet, parseFields } from './field-set.ts';

export type Operation = 'Apply' | 'Update';

/** One who changes objects. The same name is another manager by another way of writing. */
export type Manager = {
  readonly name: string;
  readonly operation: Operation;
  readonly apiVersion: string;
  /** '' is the object itself. */
  readonly subresource: string;
};

export type Entry = Manager & { readonly time: string | undefined; readonly fields: FieldSet };

/** Managers by their identity. */
export type Managers = Map<string, Entry>;

const FIELDS_TYPE = 'FieldsV1';

/** Fields that belong to nobody: they say which object it is, or are the server's. */
const UNOWNED = parseFields({
  'f:apiVersion': {},
  'f:kind': {},
  'f:metadata': {
    'f:name': {},
    'f:namespace': {},
    'f:creationTimestamp': {},
    'f:selfLink': {},
    'f:uid': {},
    'f:generation': {},
    'f:managedFields': {},
    'f:resourceVersion': {},
  },
});

/** Appliers are the same at every version: what they apply is one whole. */
export function identityOf({ name, operation, apiVersion, subresource }: Manager): string {
  return JSON.stringify([name, operation, operation === 'Apply' ? '' : apiVersion, subresource]);
}

/** @param managedFields what cannot be read is left out. */
export function readManagers(managedFields: unknown): Managers {
  const managers: Managers = new Map();
  for (const entry of Array.isArray(managedFields) ? managedFields : []) {
    if (!isFields(entry) || entry.fieldsType !== FIELDS_TYPE) continue;
    if (entry.operation !== 'Apply' && entry.operation !== 'Update') continue;
    const read: Entry = {
      name: String(entry.manager ?? ''),
      operation: entry.operation,
      apiVersion: String(entry.apiVersion ?? ''),
      subresource: String(entry.subresource ?? ''),
      time: typeof entry.time === 'string' ? entry.time : undefined,
      fields: parseFields(entry.fieldsV1),
    };
    managers.set(identityOf(read), read);
  }
  return managers;
}

/** Appliers before updaters, then by time: as the real server orders them. */
export function writeManagers(managers: Managers): Fields[] {
  const rank = ({ operation, time = '', name, apiVersion, subresource }: Entry): string =>
    [operation, time, name, apiVersion, subresource].join('\0');
  return [...managers.values()]
    .filter(({ fields }) => !fields.isEmpty)
    .sort((a, b) => (rank(a) < rank(b) ? -1 : 1))
    .map(({ name, operation, apiVersion, subresource, time, fields }) => ({
      manager: name,
      operation,
      apiVersion,
      ...(time !== undefined && { time }),
      fieldsType: FIELDS_TYPE,
      fieldsV1: fields.toJSON(),
      ...(subresource !== '' && { subresource }),
    }));
}

/** What of a set of fields can be owned. */
export function ownable(fields: FieldSet): FieldSet {
  const left = fields.without(UNOWNED);
  const metadata = left.fields.get('f:metadata');
  if (!metadata) return left;
  const others = new Map(left.fields);
  if (metadata.fields.size === 0) others.delete('f:metadata');
  else others.set('f:metadata', new FieldSet(false, metadata.fields));
  return new FieldSet(false, others);
}
