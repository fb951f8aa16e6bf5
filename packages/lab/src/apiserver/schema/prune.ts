/** Decodes an object by its schema: what is unknown goes, what means nothing goes, what has a wrong type is told. */
import { type Fields, isFields } from '../object.ts';
import { typeName } from './models.ts';
import { canonicalQuantity, QUANTITY_ERROR, readQuantity } from './quantity.ts';
import { childSchema, type Schema } from './schema.ts';

export type Pruned<T> = {
  /** A copy that shares nothing with the original. */
  readonly object: T;
  /** Paths of fields that the schema does not know, `spec.foo`. */
  readonly unknown: readonly string[];
  /** Why the object cannot be decoded, in the words of Go's decoder; never of custom resources. */
  readonly mismatch: string | undefined;
};

/** Decodes a whole object. Nulls of built-in types are dropped, as are those of custom fields that have a default. */
export function prune<T extends Fields>(schema: Schema, object: T): Pruned<T> {
  const walk = new Walk();
  const copy = walk.value(schema, object, { path: '', names: '', owner: schema.model }) as T;
  return { object: copy, unknown: walk.unknown, mismatch: walk.mismatch };
}

/** @param names the path without indexes, as Go's errors have it. */
type Place = { readonly path: string; readonly names: string; readonly owner: string | undefined };

class Walk {
  readonly unknown: string[] = [];
  mismatch: string | undefined;

  value(schema: Schema, value: unknown, place: Place): unknown {
    if (value === null) return null;
    if (Array.isArray(value)) return this.#list(schema, value, place);
    if (typeof value === 'object') return this.#object(schema, value as Fields, place);
    return schema.custom ? value : this.#scalar(schema, value, place);
  }

  #list(schema: Schema, list: readonly unknown[], place: Place): unknown {
    if (!schema.items) return this.#stray(schema, list, 'array', place);
    const items = schema.items;
    return list.map((item, index) =>
      item === null && !items.custom
        ? zero(items)
        : this.value(items, item, { ...place, path: `${place.path}[${index}]` }),
    );
  }

  #object(schema: Schema, object: Fields, place: Place): unknown {
    if (!schema.properties && !schema.additionalProperties && !schema.embeddedResource) {
      if (schema.custom && schema.type === 'object' && !schema.preserveUnknownFields) {
        for (const name of Object.keys(object)) this.unknown.push(join(place.path, name));
        return {};
      }
      return this.#stray(schema, object, 'object', place);
    }
    const copy: Fields = {};
    for (const name of Object.keys(object)) {
      const value = object[name];
      if (value === undefined) continue;
      const child = childSchema(schema, name);
      if (!child) {
        if (schema.preserveUnknownFields || schema.additionalProperties || isOfResource(schema, name)) {
          put(copy, name, structuredCopy(value));
        } else this.unknown.push(join(place.path, name));
        continue;
      }
      if (value === null && isDropped(schema, child)) continue;
      const next = {
        path: join(place.path, name),
        // Go names fields, not keys of maps.
        names: schema.properties?.has(name) ? join(place.names, name) : place.names,
        owner: schema.model ?? place.owner,
      };
      put(copy, name, this.value(child, value, next));
    }
    return copy;
  }

  #scalar(schema: Schema, value: unknown, place: Place): unknown {
    if (schema.intOrString) return typeof value === 'boolean' ? this.#wrong(value, schema, place) : value;
    switch (schema.type) {
      case 'integer':
        return Number.isInteger(value) ? value : this.#wrong(value, schema, place);
      case 'number':
        return typeof value === 'number' ? value : this.#wrong(value, schema, place);
      case 'boolean':
        return typeof value === 'boolean' ? value : this.#wrong(value, schema, place);
      case 'string':
        return this.#text(schema, value, place);
      case undefined:
        return value;
      default:
        return this.#wrong(value, schema, place);
    }
  }

  #text(schema: Schema, value: unknown, place: Place): unknown {
    if (schema.format === 'quantity') {
      const text = String(value);
      if (typeof value === 'boolean' || !readQuantity(text)) this.mismatch ??= QUANTITY_ERROR;
      return canonicalQuantity(text);
    }
    if (typeof value !== 'string') return this.#wrong(value, schema, place);
    if (schema.format === 'byte' && !isBase64(value)) {
      this.mismatch ??= `illegal base64 data at input byte ${value.search(/[^A-Za-z0-9+/]|$/)}`;
    }
    if (schema.format?.startsWith('date-time')) {
      if (isTime(value)) return canonicalTime(value, schema.format);
      const text = JSON.stringify(value);
      this.mismatch ??= `parsing time ${text} as "2006-01-02T15:04:05Z07:00": cannot parse ${text} as "2006"`;
    }
    return value;
  }

  /** A list or an object where the schema has something else, or nothing to say. */
  #stray(schema: Schema, value: unknown, kind: string, place: Place): unknown {
    const fits = schema.type === undefined && !schema.intOrString;
    if (!schema.custom && !fits && schema.type !== kind) return this.#wrong(value, schema, place);
    return structuredCopy(value);
  }

  #wrong(value: unknown, schema: Schema, { names, owner }: Place): unknown {
    const where = owner ? `Go struct field ${typeName(owner)}.${names}` : `Go value`;
    this.mismatch ??= `json: cannot unmarshal ${jsonType(value)} into ${where} of type ${goType(schema)}`;
    return value;
  }
}

/** What Go's decoder makes of a null in a list. */
function zero({ type, intOrString }: Schema): unknown {
  if (type === 'object') return {};
  if (type === 'string') return '';
  if (type === 'boolean') return false;
  return type === 'integer' || type === 'number' || intOrString ? 0 : null;
}

function isDropped(parent: Schema, child: Schema): boolean {
  if (!parent.custom || !child.custom) return !child.preserveUnknownFields;
  return !child.nullable && child.default !== undefined;
}

/** Every embedded resource has these, whether its schema says so or not. */
function isOfResource(schema: Schema, name: string): boolean {
  return (
    schema.embeddedResource === true && (name === 'apiVersion' || name === 'kind' || name === 'metadata')
  );
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}

/** Sets a field, be its name `__proto__`. */
function put(object: Fields, name: string, value: unknown): void {
  if (name !== '__proto__') object[name] = value;
  else Object.defineProperty(object, name, { value, enumerable: true, writable: true, configurable: true });
}

/** A deep copy of JSON. */
export function structuredCopy<T>(value: T): T {
  if (Array.isArray(value)) return value.map(structuredCopy) as T;
  if (!isFields(value)) return value;
  const copy: Fields = {};
  for (const name of Object.keys(value))
    if (value[name] !== undefined) put(copy, name, structuredCopy(value[name]));
  return copy as T;
}

function isBase64(text: string): boolean {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);
}

export function isTime(text: string): boolean {
  return (
    /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(text) &&
    !Number.isNaN(Date.parse(text))
  );
}

/** In UTC, of whole seconds or of microseconds. */
function canonicalTime(text: string, format: string): string {
  const isMicro = format === 'date-time-micro';
  if (isMicro ? /\.\d{6}Z$/.test(text) : /:\d\dZ$/.test(text)) return text;
  const seconds = new Date(text).toISOString().slice(0, 19);
  const [, fraction = ''] = /\.(\d+)/.exec(text) ?? [];
  return isMicro ? `${seconds}.${fraction.slice(0, 6).padEnd(6, '0')}Z` : `${seconds}Z`;
}

function jsonType(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'boolean') return 'bool';
  return typeof value === 'number' && !Number.isInteger(value) ? `number ${value}` : typeof value;
}

function goType(schema: Schema): string {
  if (schema.model) return `v1.${typeName(schema.model)}`;
  if (schema.type === 'array') return `[]${goType(schema.items ?? {})}`;
  if (schema.intOrString) return 'intstr.IntOrString';
  switch (schema.type) {
    case 'object':
      return `map[string]${typeof schema.additionalProperties === 'object' ? goType(schema.additionalProperties) : 'interface {}'}`;
    case 'boolean':
      return 'bool';
    case 'integer':
      return schema.format ?? 'int64';
    case 'number':
      return 'float64';
    default:
      return 'string';
  }
}
