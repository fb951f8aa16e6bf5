/** Reads fields of objects whose types the schema has checked. */
import { type Fields, isFields } from '../object.ts';

/** The object in a field; an empty one if there is none. */
export function sub(object: Fields | undefined, name: string): Fields {
  const value = object?.[name];
  return isFields(value) ? value : {};
}

export function has(object: Fields | undefined, name: string): boolean {
  return object?.[name] !== undefined && object[name] !== null;
}

/** A text; '' if there is none. */
export function text(object: Fields | undefined, name: string): string {
  const value = object?.[name];
  return typeof value === 'string' ? value : '';
}

/** A number; undefined if there is none. */
export function number(object: Fields | undefined, name: string): number | undefined {
  const value = object?.[name];
  return typeof value === 'number' ? value : undefined;
}

export function texts(object: Fields | undefined, name: string): string[] {
  const value = object?.[name];
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

/** The objects of a list, each with its path: `spec.containers[0]`. */
export function each(object: Fields | undefined, name: string, path: string): [item: Fields, path: string][] {
  const value = object?.[name];
  if (!Array.isArray(value)) return [];
  return value.map((item, index) => [isFields(item) ? item : {}, `${join(path, name)}[${index}]`]);
}

export function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}
