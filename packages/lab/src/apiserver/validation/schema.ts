/** What is wrong with an object by its schema. */
import { isIPv4, isIPv6 } from 'node:net';
import { type Fields, isFields } from '../object.ts';
import { isEqual } from '../patch/equal.ts';
import { typeName } from '../schema/models.ts';
import { isTime } from '../schema/prune.ts';
import { listKeysOf, type Schema } from '../schema/schema.ts';
import type { Cause } from '../status.ts';
import { error } from './errors.ts';
import { cidr } from './formats.ts';
import { join } from './read.ts';

/**
 * Checks a whole object. Types of built-in kinds were decoded before; of custom resources they are checked here. The
 * status of built-in kinds is the server's own and is not looked at.
 */
export function validateSchema(schema: Schema, object: Fields): Cause[] {
  if (schema.custom) return [...customValue(schema, object, '')];
  const { status, ...rest } = object;
  return [...builtIn(schema, rest, '')];
}

/** Required fields whose absence their own kind's check tells. */
const CHECKED_APART = new Set(['PodSpec.containers', 'ObjectMeta.name', 'Event.involvedObject']);

function* builtIn(schema: Schema, value: unknown, path: string): Generator<Cause> {
  if (Array.isArray(value)) {
    if (!schema.items || isScalar(schema.items)) return;
    for (const [index, item] of value.entries()) yield* builtIn(schema.items, item, `${path}[${index}]`);
  } else if (isFields(value)) {
    if (!schema.properties) {
      const { additionalProperties } = schema;
      if (!additionalProperties || additionalProperties === true || isScalar(additionalProperties)) return;
      for (const [name, child] of Object.entries(value)) {
        yield* builtIn(additionalProperties, child, `${path}[${name}]`);
      }
      return;
    }
    const type = schema.model ? typeName(schema.model) : '';
    if (type === 'JSONSchemaProps') return;
    for (const name of schema.required ?? []) {
      if (CHECKED_APART.has(`${type}.${name}`)) continue;
      yield* missing(schema.properties.get(name), value[name], join(path, name));
    }
    for (const name of Object.keys(value)) {
      const child = schema.properties.get(name);
      if (child) yield* builtIn(child, value[name], join(path, name));
    }
  } else if (schema.enum && value !== '' && value !== undefined && !schema.enum.includes(value)) {
    yield error.notSupported(path, value, schema.enum as string[]);
  }
}

function isScalar(schema: Schema): boolean {
  return schema.type !== 'object' && schema.type !== 'array' && !schema.enum;
}

/** What Go's types cannot tell from a zero is not missing: numbers, truth values. */
function* missing(schema: Schema | undefined, value: unknown, path: string): Generator<Cause> {
  if (schema?.type === 'string' || schema?.type === 'array') {
    const isEmpty = value === undefined || value === '' || (Array.isArray(value) && value.length === 0);
    if (isEmpty) yield error.required(path);
  } else if (schema?.type === 'object' && value === undefined) yield* builtIn(schema, {}, path);
}

function* customValue(schema: Schema, value: unknown, path: string): Generator<Cause> {
  if (value === null && schema.nullable) return;
  const type = typeOf(value);
  if (!fits(schema, type)) {
    yield error.wrongType(path, type, schema.intOrString ? 'integer,string' : schema.type!);
    return;
  }
  if (schema.enum && !schema.enum.some((known) => isEqual(known, value))) {
    yield error.notSupported(path, value, schema.enum as string[]);
  }
  if (typeof value === 'string') yield* customText(schema, value, path);
  else if (typeof value === 'number') yield* customNumber(schema, value, path);
  else if (Array.isArray(value)) yield* customList(schema, value, path);
  else if (isFields(value)) yield* customObject(schema, value, path);
  yield* conditions(schema, value, path);
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return Number.isInteger(value) ? 'integer' : typeof value;
}

function fits({ type, intOrString }: Schema, given: string): boolean {
  if (intOrString) return given === 'integer' || given === 'string';
  return type === undefined || type === given || (type === 'number' && given === 'integer');
}

const FORMATS: Readonly<Record<string, (value: string) => boolean>> = {
  'date-time': isTime,
  date: (value) => /^\d{4}-\d\d-\d\d$/.test(value) && !Number.isNaN(Date.parse(value)),
  ipv4: isIPv4,
  ipv6: isIPv6,
  cidr: (value) => cidr(value).length === 0,
  uuid: (value) => /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i.test(value),
  byte: (value) => value.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(value),
  email: (value) => /^[^@\s]+@[^@\s]+$/.test(value),
  duration: (value) => /^-?(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h))+$/.test(value),
};

const patterns = new Map<string, RegExp>();

function patternOf(text: string): RegExp {
  let regex = patterns.get(text);
  if (!regex) {
    // Go writes options before the pattern.
    const [, flags = '', rest = text] = /^\(\?([ims]+)\)(.*)$/s.exec(text) ?? [];
    regex = new RegExp(rest, `${flags}u`);
    patterns.set(text, regex);
  }
  return regex;
}

function* customText(schema: Schema, value: string, path: string): Generator<Cause> {
  const length = schema.minLength !== undefined || schema.maxLength !== undefined ? [...value].length : 0;
  if (schema.maxLength !== undefined && length > schema.maxLength)
    yield error.tooLong(path, schema.maxLength);
  if (schema.minLength !== undefined && length < schema.minLength) {
    yield error.invalid(path, value, `${path} in body should be at least ${schema.minLength} chars long`);
  }
  if (schema.pattern !== undefined && !patternOf(schema.pattern).test(value)) {
    yield error.invalid(path, value, `${path} in body should match '${schema.pattern}'`);
  }
  if (schema.format && FORMATS[schema.format]?.(value) === false) {
    yield error.invalid(
      path,
      value,
      `${path} in body must be of type ${schema.format}: ${JSON.stringify(value)}`,
    );
  }
}

function* customNumber(schema: Schema, value: number, path: string): Generator<Cause> {
  const { minimum, maximum, multipleOf } = schema;
  const should = (detail: string): Cause => error.invalid(path, value, `${path} in body should be ${detail}`);
  if (minimum !== undefined) {
    if (schema.exclusiveMinimum && value <= minimum) yield should(`greater than ${minimum}`);
    else if (value < minimum) yield should(`greater than or equal to ${minimum}`);
  }
  if (maximum !== undefined) {
    if (schema.exclusiveMaximum && value >= maximum) yield should(`less than ${maximum}`);
    else if (value > maximum) yield should(`less than or equal to ${maximum}`);
  }
  if (multipleOf && !Number.isInteger(value / multipleOf)) yield should(`a multiple of ${multipleOf}`);
  if (schema.format === 'int32' && Math.abs(value) > 2 ** 31) yield error.wrongType(path, 'int64', 'int32');
}

function* customList(schema: Schema, list: unknown[], path: string): Generator<Cause> {
  if (schema.maxItems !== undefined && list.length > schema.maxItems) {
    yield error.tooMany(path, list.length, schema.maxItems);
  }
  if (schema.minItems !== undefined && list.length < schema.minItems) {
    yield error.invalid(path, list.length, `${path} in body should have at least ${schema.minItems} items`);
  }
  for (const [index, item] of list.entries()) {
    if (schema.items) yield* customValue(schema.items, item, `${path}[${index}]`);
  }
  if (schema.listType !== 'set' && schema.listType !== 'map') return;
  const seen = new Set<string>();
  for (const [index, item] of list.entries()) {
    const key = schema.listType === 'set' ? item : keysOf(schema, item);
    const text = JSON.stringify(key);
    if (seen.has(text)) yield error.duplicate(`${path}[${index}]`, key);
    seen.add(text);
  }
}

function keysOf(schema: Schema, item: unknown): Fields {
  return Object.fromEntries(listKeysOf(schema).map((key) => [key, isFields(item) ? item[key] : undefined]));
}

function* customObject(schema: Schema, object: Fields, path: string): Generator<Cause> {
  const count = Object.keys(object).length;
  if (schema.maxProperties !== undefined && count > schema.maxProperties) {
    yield error.tooMany(path, count, schema.maxProperties);
  }
  if (schema.minProperties !== undefined && count < schema.minProperties) {
    yield error.invalid(
      path,
      count,
      `${path} in body should have at least ${schema.minProperties} properties`,
    );
  }
  const required = schema.embeddedResource
    ? [...(schema.required ?? []), 'apiVersion', 'kind']
    : schema.required;
  for (const name of required ?? []) if (!Object.hasOwn(object, name)) yield error.required(join(path, name));
  for (const [name, value] of Object.entries(object)) {
    const property = schema.properties?.get(name);
    if (property?.model) continue;
    if (property) yield* customValue(property, value, join(path, name));
    else if (isFields(schema.additionalProperties)) {
      yield* customValue(schema.additionalProperties as Schema, value, join(path, name));
    }
  }
}

function* conditions(schema: Schema, value: unknown, path: string): Generator<Cause> {
  const holds = (condition: Schema): boolean => [...customValue(condition, value, path)].length === 0;
  const must = (detail: string): Cause => error.invalid(path, value, `${path} in body must ${detail}`);
  for (const condition of schema.allOf ?? []) yield* customValue(condition, value, path);
  if (schema.anyOf && !schema.anyOf.some(holds)) yield must('validate at least one schema (anyOf)');
  if (schema.oneOf) {
    const valid = schema.oneOf.filter(holds).length;
    const found = valid === 0 ? 'Found none valid' : `Found ${valid} valid alternatives`;
    if (valid !== 1) yield must(`validate one and only one schema (oneOf). ${found}`);
  }
  if (schema.not && holds(schema.not)) yield must('not validate the schema (not)');
}
