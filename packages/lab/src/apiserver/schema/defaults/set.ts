import { type Fields, isFields } from '../../object.ts';

/** Whether a field is not set, as Go's types see it. */
export function isUnset(value: unknown): boolean {
  return value === undefined || value === null || value === '';
}

/** Sets what is not set. A default that is an object is copied. */
export function set(object: Fields, defaults: Fields): void {
  for (const name in defaults) {
    if (!isUnset(object[name])) continue;
    const value = defaults[name];
    object[name] = isFields(value) ? { ...value } : Array.isArray(value) ? [...value] : value;
  }
}

/** The object in a field; undefined if there is none. */
export function sub(object: Fields | undefined, name: string): Fields | undefined {
  const value = object?.[name];
  return isFields(value) ? value : undefined;
}

/** The object in a field, which is made if it is not there. */
export function made(object: Fields, name: string): Fields {
  const value = sub(object, name);
  if (value) return value;
  const created: Fields = {};
  object[name] = created;
  return created;
}

/** The objects in a list. */
export function each(object: Fields | undefined, name: string): Fields[] {
  const list = object?.[name];
  return Array.isArray(list) ? list.filter(isFields) : [];
}
