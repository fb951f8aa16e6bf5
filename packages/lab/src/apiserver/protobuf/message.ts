/** Messages of Kubernetes' types as the JSON that says the same. */
import type { Fields } from '../object.ts';
import { modelSchema } from '../schema/built-in.ts';
import type { Schema } from '../schema/schema.ts';
import { type Field, fieldsOf, messageOf } from './numbers/index.ts';
import { lastFields, numbersOf, type Wire, wireFields } from './wire.ts';

/** @param model the client's, `V1Pod`. @throws of bytes that are no such message. */
export function decodeModel(model: string, bytes: Wire | undefined): Fields {
  const object: Fields = {};
  readInto(object, messageOf(model), modelSchema(model), bytes);
  return object;
}

function readInto(object: Fields, message: string, schema: Schema, bytes: Wire | undefined): void {
  const fields = fieldsOf(message);
  if (!fields) throw new Error(`no field numbers are known of ${message}`);
  for (const [number, value] of wireFields(bytesOf(bytes, message))) {
    const field = fields.get(number);
    // Of a client that is newer than the numbers here: left out, as an older API server does.
    if (!field) continue;
    if (field.inline) readInto(object, field.inline, schema, value);
    else add(object, field, schema.properties!.get(field.name)!, value);
  }
}

function add(object: Fields, field: Field, schema: Schema, value: Wire): void {
  const { name, form } = field;
  if (schema.items) {
    object[name] ??= [];
    (object[name] as unknown[]).push(...itemsOf(schema.items, value, name));
  } else if (typeof schema.additionalProperties === 'object') {
    object[name] ??= {};
    addEntry(object[name] as Fields, schema.additionalProperties, value, field);
  } else {
    const read = form ? FORMS[form]!(value) : readValue(schema, value, name);
    const isZero = read === '' || read === 0 || read === false;
    // What has no type of its own, such as IntOrString, is a message: it is there though what it says is zero.
    if (!isZero || field.zero || schema.type === undefined) object[name] = read;
  }
}

function itemsOf(items: Schema, value: Wire, name: string): unknown[] {
  if (items.type === 'integer') return [...numbersOf(value)];
  return [readValue(items, value, name)];
}

function addEntry(map: Fields, values: Schema, entry: Wire, { name, form }: Field): void {
  const { 1: key, 2: value } = lastFields(bytesOf(entry, name));
  Object.defineProperty(map, key === undefined ? '' : bytesOf(key, name).toString(), {
    value: form ? FORMS[form]!(value) : readValue(values, value, name),
    // Not assigned, since a key may be `__proto__`.
    configurable: true,
    enumerable: true,
    writable: true,
  });
}

/** @param value undefined: what an entry of a map does not say. */
function readValue(schema: Schema, value: Wire | undefined, name: string): unknown {
  if (schema.model) return decodeModel(schema.model, value);
  if (schema.intOrString) return intOrString(bytesOf(value, name));
  // RawExtension, FieldsV1, JSON.
  if (schema.preserveUnknownFields) return json(lastFields(bytesOf(value, name))[1], name);
  switch (schema.type) {
    case 'boolean':
      return numberOf(value, name) !== 0;
    case 'integer':
    case 'number':
      return numberOf(value, name);
    case 'array': {
      // A list as the value of a map is wrapped.
      const items = [...wireFields(bytesOf(value, name))].filter(([number]) => number === 1);
      return items.flatMap(([, item]) => itemsOf(schema.items!, item, name));
    }
    default:
      return textOf(schema.format, bytesOf(value, name), name);
  }
}

function textOf(format: string | undefined, bytes: Buffer, name: string): unknown {
  switch (format) {
    case 'byte':
      return bytes.toString('base64');
    case 'quantity':
      return bytesOf(lastFields(bytes)[1], name).toString();
    case 'date-time':
    case 'date-time-micro':
      return time(bytes, format);
    default:
      return bytes.toString();
  }
}

/** RFC 3339; null is Go's zero time, of which nothing is on the wire. */
function time(bytes: Buffer, format: 'date-time' | 'date-time-micro'): string | null {
  if (bytes.length === 0) return null;
  const { 1: seconds, 2: nanos } = lastFields(bytes);
  const whole = new Date(numberOf(seconds, 'seconds') * 1000).toISOString().slice(0, 19);
  if (format === 'date-time') return `${whole}Z`;
  const micros = Math.floor(numberOf(nanos, 'nanos') / 1000);
  return `${whole}.${String(micros).padStart(6, '0')}Z`;
}

function intOrString(bytes: Buffer): string | number {
  const { 1: type, 2: number, 3: text } = lastFields(bytes);
  return type === 1 ? bytesOf(text, 'strVal').toString() : numberOf(number, 'intVal');
}

function json(value: Wire | undefined, name: string): unknown {
  const text = bytesOf(value, name).toString();
  return text === '' ? null : JSON.parse(text);
}

/** What takes one of several forms. */
const FORMS: Readonly<Record<string, (value: Wire | undefined) => unknown>> = {
  Empty: () => ({}),
  SchemaOrList: (value) => {
    const fields = [...wireFields(bytesOf(value, 'items'))];
    const list = fields.filter(([number]) => number === 2).map(([, item]) => schemaOf(item));
    return list.length > 0 ? list : schemaOf(fields.find(([number]) => number === 1)?.[1]);
  },
  SchemaOrBool: (value) => {
    const { 1: allows, 2: schema } = lastFields(bytesOf(value, 'allows'));
    return schema === undefined ? numberOf(allows, 'allows') !== 0 : schemaOf(schema);
  },
  SchemaOrNames: (value) => {
    const fields = [...wireFields(bytesOf(value, 'dependencies'))];
    const names = fields
      .filter(([number]) => number === 2)
      .map(([, name]) => bytesOf(name, 'property').toString());
    return names.length > 0 ? names : schemaOf(fields.find(([number]) => number === 1)?.[1]);
  },
};

function schemaOf(value: Wire | undefined): Fields | null {
  return value === undefined ? null : decodeModel('V1JSONSchemaProps', value);
}

function bytesOf(value: Wire | undefined, name: string): Buffer {
  if (typeof value === 'number') throw new Error(`${name} is a number, not bytes`);
  return value ?? Buffer.alloc(0);
}

function numberOf(value: Wire | undefined, name: string): number {
  if (typeof value === 'object') throw new Error(`${name} is bytes, not a number`);
  return value ?? 0;
}
