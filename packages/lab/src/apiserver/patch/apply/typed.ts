/** Objects as trees of fields by their schema: which fields they have, what differs, how one is laid over another. */
import { type Fields, isFields } from '../../object.ts';
import { childSchema, listKeysOf, listTypeOf, type Schema } from '../../schema/schema.ts';
import { HELD_BY_VALUE } from '../../schema/traits.ts';
import { badRequest } from '../../status.ts';
import { isEqual } from '../equal.ts';
import { FieldSet } from './field-set.ts';

/** A value with the schema of it; undefined: it is what it seems, lists as one value. */
type SchemaOf = Schema | undefined;

/** How a value is seen: as one, or as fields, or as items told apart by keys or by value. */
type Shape = 'leaf' | 'map' | 'keyed' | 'set';

export function shapeOf(schema: SchemaOf, value: unknown): Shape {
  if (isFields(value)) return schema?.mapType === 'atomic' ? 'leaf' : 'map';
  if (!Array.isArray(value) || !schema) return 'leaf';
  const type = listTypeOf(schema);
  return type === 'map' ? 'keyed' : type === 'set' ? 'set' : 'leaf';
}

/** The name of an item in a {@link FieldSet}. */
export function itemName(schema: Schema, shape: Shape, item: unknown): string {
  if (shape === 'set') return `v:${JSON.stringify(item)}`;
  const keys: [string, unknown][] = [];
  for (const key of listKeysOf(schema).toSorted()) {
    const value = (isFields(item) ? item[key] : undefined) ?? schema.items?.properties?.get(key)?.default;
    if (value !== undefined) keys.push([key, value]);
  }
  return `k:${JSON.stringify(Object.fromEntries(keys))}`;
}

/** The fields that an object has: what applying it takes hold of. @throws {ApiError} of lists that are ambiguous. */
export function fieldsOf(schema: SchemaOf, value: unknown): FieldSet {
  const set = new FieldSet();
  addFields(set, schema, value, '');
  set.member = false;
  return set;
}

function addFields(set: FieldSet, schema: SchemaOf, value: unknown, path: string): void {
  const shape = shapeOf(schema, value);
  if (shape === 'leaf') {
    set.member = true;
  } else if (shape === 'map') {
    const entries = Object.entries(value as Fields);
    if (entries.length === 0) set.member = true;
    for (const [name, child] of entries) {
      const field = set.at(`f:${name}`);
      addFields(field, childSchema(schema, name), child, `${path}.${name}`);
      // The entries of a map are owned as such, the fields of a type only by what is in them.
      if (!schema?.properties?.has(name)) field.member = true;
    }
  } else {
    const list = value as unknown[];
    if (list.length === 0) set.member = true;
    for (const [index, item] of list.entries()) {
      assertKeys(schema!, shape, item, `${path}: element ${index}`);
      const name = itemName(schema!, shape, item);
      if (set.fields.has(name)) throw badRequest(`${path}: duplicate entries for key ${name.slice(2)}`);
      const field = set.at(name);
      if (shape === 'keyed') addFields(field, schema!.items, item, path);
      field.member = true;
    }
  }
}

function assertKeys(schema: Schema, shape: Shape, item: unknown, where: string): void {
  if (shape !== 'keyed') return;
  for (const key of listKeysOf(schema)) {
    const given = isFields(item) ? item[key] : undefined;
    if (given !== undefined || schema.items?.properties?.get(key)?.default !== undefined) continue;
    // Some keys may be left out when others tell items apart.
    if (listKeysOf(schema).length > 1 && !schema.items?.required?.includes(key)) continue;
    throw badRequest(
      `${where}: associative list with keys has an element that omits key field ${JSON.stringify(key)} (and doesn't have default value)`,
    );
  }
}

export type Comparison = {
  readonly added: FieldSet;
  readonly modified: FieldSet;
  readonly removed: FieldSet;
};

/** What makes one object another. */
export function compare(schema: SchemaOf, old: unknown, next: unknown): Comparison {
  const comparison = { added: new FieldSet(), modified: new FieldSet(), removed: new FieldSet() };
  compareMaps(schema, isFields(old) ? old : {}, isFields(next) ? next : {}, comparison);
  return comparison;
}

function compareValues(
  schema: SchemaOf,
  old: unknown,
  next: unknown,
  at: Comparison,
  isThere: boolean,
): void {
  const shape = shapeOf(schema, old === undefined || old === null ? next : old);
  const other = shapeOf(schema, next === undefined || next === null ? old : next);
  if (shape !== other || shape === 'leaf' || (isNothing(old) && isNothing(next))) {
    if (old === undefined) at.added.member = true;
    else if (next === undefined) at.removed.member = true;
    else if (!isEqual(old, next)) at.modified.member = true;
    return;
  }
  if (!isThere) {
    if (old === undefined) at.added.member = true;
    if (next === undefined) at.removed.member = true;
  }
  if (shape === 'map') compareMaps(schema, (old ?? {}) as Fields, (next ?? {}) as Fields, at);
  else compareLists(schema!, shape, (old ?? []) as unknown[], (next ?? []) as unknown[], at);
}

function compareMaps(schema: SchemaOf, old: Fields, next: Fields, at: Comparison): void {
  for (const name of new Set([...Object.keys(old), ...Object.keys(next)])) {
    const [a, b] = [own(old, name), own(next, name)];
    if (a === b) continue;
    const child = childSchema(schema, name);
    const isThere = isAlwaysThere(schema, name, child);
    descend(at, `f:${name}`, (field) => compareValues(child, a, b, field, isThere));
  }
}

function compareLists(schema: Schema, shape: Shape, old: unknown[], next: unknown[], at: Comparison): void {
  const [before, after] = [old, next].map(
    (list) => new Map(list.map((item) => [itemName(schema, shape, item), item] as const)),
  ) as [Map<string, unknown>, Map<string, unknown>];
  for (const name of new Set([...before.keys(), ...after.keys()])) {
    const [a, b] = [before.get(name), after.get(name)];
    if (a !== b)
      descend(at, name, (field) =>
        compareValues(shape === 'keyed' ? schema.items : undefined, a, b, field, false),
      );
  }
}

/** Compares what is under a name, and keeps of it only what differs. */
function descend(at: Comparison, name: string, compareField: (field: Comparison) => void): void {
  const field = { added: new FieldSet(), modified: new FieldSet(), removed: new FieldSet() };
  compareField(field);
  for (const kind of ['added', 'modified', 'removed'] as const) {
    if (!field[kind].isEmpty) at[kind].fields.set(name, field[kind]);
  }
}

function own(object: Fields, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function isNothing(value: unknown): boolean {
  if (value === undefined || value === null) return true;
  return Array.isArray(value) ? value.length === 0 : isFields(value) && Object.keys(value).length === 0;
}

/** Whether Go's type holds the field by value: it is never added. */
function isAlwaysThere(schema: SchemaOf, name: string, child: SchemaOf): boolean {
  if (!schema?.model || !child) return name === 'metadata';
  const required = schema.required?.includes(name) ?? false;
  return required || (child.model !== undefined && HELD_BY_VALUE.has(name));
}

/** Lays an applied object over the live one: what it says replaces, lists are merged item by item. */
export function merge(schema: SchemaOf, live: unknown, applied: unknown): unknown {
  const shape = shapeOf(schema, applied);
  if (shape === 'leaf' || shapeOf(schema, live) !== shape) return applied;
  if (shape === 'map') {
    const merged = new Map(Object.entries(live as Fields));
    for (const [name, value] of Object.entries(applied as Fields)) {
      merged.set(name, merge(childSchema(schema, name), merged.get(name), value));
    }
    return Object.fromEntries(merged);
  }
  return mergeLists(schema!, shape, live as unknown[], applied as unknown[]);
}

/** Items of both come in the order of the applied list; those of the live one alone stay where they were among them. */
function mergeLists(schema: Schema, shape: Shape, live: unknown[], applied: unknown[]): unknown[] {
  const items = shape === 'keyed' ? schema.items : undefined;
  const nameOf = (item: unknown): string => itemName(schema, shape, item);
  const old = new Map(live.map((item) => [nameOf(item), item]));
  const wanted = new Set(applied.map(nameOf));
  const merged: unknown[] = [];
  let next = 0;
  const take = (): void => {
    const item = applied[next++];
    merged.push(merge(items, old.get(nameOf(item)), item));
  };
  for (const item of live) {
    const name = nameOf(item);
    if (!wanted.has(name)) merged.push(item);
    else {
      const at = applied.findIndex((other) => nameOf(other) === name);
      while (next <= at) take();
    }
  }
  while (next < applied.length) take();
  return merged;
}

/**
 * Takes out of a value what one manager owned, but nobody owns any more.
 * @param last what the manager owned before.
 * @param owned what anyone owns now.
 */
export function removeDisowned(schema: SchemaOf, value: unknown, last: FieldSet, owned: FieldSet): unknown {
  const shape = shapeOf(schema, value);
  if (shape === 'leaf') return value;
  const kept = (name: string): boolean => !last.fields.has(name) || owned.fields.has(name);
  const inner = (child: SchemaOf, name: string, item: unknown): unknown => {
    const [was, is] = [last.fields.get(name), owned.fields.get(name)];
    if (!was || !is) return item;
    const left = removeDisowned(child, item, was, is);
    return isNothing(left) && !isNothing(item) && !is.member ? undefined : left;
  };
  if (shape === 'map') {
    return Object.fromEntries(
      Object.entries(value as Fields)
        .filter(([name]) => kept(`f:${name}`))
        .map(([name, child]) => [name, inner(childSchema(schema, name), `f:${name}`, child)] as const)
        .filter(([, child]) => child !== undefined),
    );
  }
  return (value as unknown[])
    .map((item) => ({ item, name: itemName(schema!, shape, item) }))
    .filter(({ name }) => kept(name))
    .map(({ item, name }) => (shape === 'keyed' ? inner(schema!.items, name, item) : item))
    .filter((item) => item !== undefined);
}
