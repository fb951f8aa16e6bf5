/**
 * Server-side apply (structured-merge-diff `merge`): who applies an object owns the fields that it names, takes none from
 * others unless forced, and what it names no more goes away when nobody else owns it.
 */
import { type Fields, isFields, type KubeObject } from '../../object.ts';
import type { Schema } from '../../schema/schema.ts';
import { type Conflict, conflictError } from './conflicts.ts';
import { FieldSet } from './field-set.ts';
import { identityOf, type Manager, type Managers, ownable, readManagers, writeManagers } from './managers.ts';
import { compare, fieldsOf, merge, removeDisowned } from './typed.ts';

type Common = {
  /** undefined: objects are what they seem, lists are atomic. */
  readonly schema: Schema | undefined;
  /** The field manager's name. */
  readonly manager: string;
  /** The version that the request is made in, `apps/v1`. */
  readonly apiVersion: string;
  /** The subresource that is written; undefined or '': the object itself. */
  readonly subresource?: string | undefined;
  /** Now, RFC 3339. */
  readonly time: string;
};

export type Application = Common & {
  /** The object as it is; undefined: there is none. */
  readonly live: KubeObject | undefined;
  /** What the client sent, with defaults of nobody. */
  readonly applied: KubeObject;
  /** Takes over what others own. */
  readonly force: boolean;
  /** Whose `status` is written apart from the rest. */
  readonly resource?: { readonly subresources: readonly string[] };
};

/** Who owned what before anybody applied anything, of objects whose owners were not kept. */
const BEFORE = 'before-first-apply';

/**
 * @returns the merged object, without managedFields, and these.
 * @throws {ApiError} Conflict when others own fields that would change; BadRequest of lists with ambiguous items.
 */
export function applyPatch(application: Application): { object: KubeObject; managedFields: Fields[] } {
  const { schema, applied, force, time } = application;
  const live = withoutManagers(application.live ?? emptyOf(applied));
  const wanted = writable(withoutManagers(applied), application);
  const self = managerOf(application, 'Apply');
  const id = identityOf(self);
  const managers = managersOf(application);

  const last = managers.get(id)?.fields;
  const named = fieldsOf(schema, wanted);
  const fields = ownable(named);
  managers.set(id, { ...self, time, fields });
  const merged = merge(schema, live, wanted) as KubeObject;
  // What belongs to nobody, such as the name, is named none the less.
  const owned = allOwned(managers).union(named);
  const object = (last ? removeDisowned(schema, merged, last, owned) : merged) as KubeObject;

  const { added, modified, removed } = compare(schema, live, object);
  const changed = ownable(added.union(modified));
  const conflicts: Conflict[] = [];
  for (const [other, owner] of managers) {
    if (other === id) continue;
    const taken = owner.fields.intersection(changed);
    if (!taken.isEmpty) conflicts.push({ owner, fields: taken });
    managers.set(other, { ...owner, fields: owner.fields.difference(taken).difference(removed) });
  }
  if (conflicts.length > 0 && !force) throw conflictError(conflicts);

  const isSame = changed.isEmpty && removed.isEmpty && last?.equals(fields);
  const was = readManagers(application.live?.metadata.managedFields).get(id);
  if (isSame && was) managers.set(id, was);
  return { object, managedFields: writeManagers(managers) };
}

export type Update = Common & {
  /** The object before; undefined: it is new. */
  readonly old: KubeObject | undefined;
  /** The object after: its managedFields say who owned what before, if it has some. */
  readonly next: KubeObject;
};

/**
 * Keeps account of a change that was not applied: its author owns what it has changed or added.
 * @returns the managedFields of the object after; those of before when nothing has changed.
 */
export function trackUpdate(update: Update): Fields[] {
  const { schema, old, next, time } = update;
  const managers = readManagers(ownersBefore(old, next));
  const { added, modified, removed } = compare(
    schema,
    old ? withoutManagers(old) : emptyOf(next),
    withoutManagers(next),
  );
  const changed = ownable(added.union(modified));
  for (const [id, owner] of managers) {
    managers.set(id, { ...owner, fields: owner.fields.difference(changed).difference(removed) });
  }
  if (!changed.isEmpty) {
    const self = managerOf(update, 'Update');
    const id = identityOf(self);
    const before = managers.get(id)?.fields ?? new FieldSet();
    managers.set(id, { ...self, time, fields: before.union(changed) });
  }
  return writeManagers(managers);
}

/** A client that sends no managedFields leaves them; one that sends an empty list, or one empty entry, resets them. */
function ownersBefore(old: KubeObject | undefined, next: KubeObject): unknown {
  const sent = next.metadata.managedFields;
  if (sent === undefined) return old?.metadata.managedFields;
  const isReset = sent.every((entry) => isFields(entry) && Object.keys(entry).length === 0);
  return isReset ? [] : sent;
}

function managerOf(
  { manager, apiVersion, subresource = '' }: Common,
  operation: Manager['operation'],
): Manager {
  return { name: manager, operation, apiVersion, subresource };
}

function managersOf({ schema, live, apiVersion }: Application): Managers {
  const managers = readManagers(live?.metadata.managedFields);
  if (!live || managers.size > 0) return managers;
  const before: Manager = { name: BEFORE, operation: 'Update', apiVersion, subresource: '' };
  const { added } = compare(schema, emptyOf(live), withoutManagers(live));
  return managers.set(identityOf(before), { ...before, time: undefined, fields: ownable(added) });
}

function allOwned(managers: Managers): FieldSet {
  let all = new FieldSet();
  for (const { fields } of managers.values()) all = all.union(fields);
  return all;
}

function emptyOf({ apiVersion, kind }: KubeObject): KubeObject {
  return { apiVersion, kind, metadata: {} };
}

/** What the request may write: all but the status, or the status alone. */
function writable(applied: KubeObject, { resource, subresource }: Application): KubeObject {
  if (!resource?.subresources.includes('status')) return applied;
  const { status, ...rest } = applied;
  if (subresource !== 'status') return rest as KubeObject;
  const { apiVersion, kind, metadata } = applied;
  const { name, namespace } = metadata;
  const identity = { ...(name && { name }), ...(namespace && { namespace }) };
  return { apiVersion, kind, metadata: identity, ...(status && { status }) };
}

function withoutManagers(object: KubeObject): KubeObject {
  const { managedFields, ...metadata } = object.metadata;
  return { ...object, metadata };
}
