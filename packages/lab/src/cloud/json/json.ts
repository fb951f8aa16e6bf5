/** The protocol AWS JSON 1.1: https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html */
import type { NormalizedSchema } from '@smithy/core/schema';
import { AwsError } from '../errors.ts';
import { requiredMembers } from '../query/schema.ts';

function invalid(path: string, reason: string): AwsError {
  return new AwsError('ValidationException', `Value at '${path || 'the request'}' is invalid: ${reason}`);
}

function read(schema: NormalizedSchema, value: unknown, path: string): unknown {
  if (schema.isStructSchema()) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(path, 'no object');
    const given = value as Record<string, unknown>;
    const result: Record<string, unknown> = {};
    for (const [name, member] of schema.structIterator()) {
      if (given[name] != null) result[name] = read(member, given[name], path ? `${path}.${name}` : name);
    }
    for (const name of requiredMembers(schema)) {
      if (result[name] === undefined) throw invalid(path ? `${path}.${name}` : name, 'it must not be null');
    }
    return result;
  }
  if (schema.isListSchema()) {
    if (!Array.isArray(value)) throw invalid(path, 'no list');
    return value.map((item, index) => read(schema.getValueSchema(), item, `${path}.${index}`));
  }
  if (schema.isTimestampSchema() && typeof value === 'number') return new Date(value * 1000);
  if (schema.isBlobSchema() && typeof value === 'string') {
    return new Uint8Array(Buffer.from(value, 'base64'));
  }
  if (schema.isStringSchema() && typeof value === 'string') return value;
  if (schema.isBooleanSchema() && typeof value === 'boolean') return value;
  if (schema.isNumericSchema() && typeof value === 'number') return value;
  throw invalid(path, `it cannot be ${JSON.stringify(value)}`);
}

/** Reads an operation's input from the body of a request. @throws {AwsError} ValidationException, SerializationException. */
export function decodeJson(schema: NormalizedSchema, body: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(body || '{}');
  } catch {
    throw new AwsError('SerializationException', 'The body is no JSON');
  }
  return schema.isUnitSchema() ? {} : (read(schema, value, '') as Record<string, unknown>);
}

function write(schema: NormalizedSchema, value: unknown): unknown {
  if (schema.isStructSchema()) {
    const given = value as Record<string, unknown>;
    const members = [...schema.structIterator()].filter(([name]) => given[name] != null);
    return Object.fromEntries(members.map(([name, member]) => [name, write(member, given[name])]));
  }
  if (schema.isListSchema()) return (value as unknown[]).map((item) => write(schema.getValueSchema(), item));
  if (value instanceof Date) return value.getTime() / 1000;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  return value;
}

/** Writes the body of an answer; members that are null or undefined are left out. */
export function encodeJson(schema: NormalizedSchema, output: object): string {
  return JSON.stringify(write(schema, output));
}
