import type { NormalizedSchema } from '@smithy/core/schema';
import type { AwsError } from '../errors.ts';
import { API_VERSION, responseKey } from './schema.ts';

const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n';
const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '\r': '&#13;' };
// What no XML 1.0 document may hold, not even escaped, and the four that must be escaped.
const SPECIAL = /[&<>\r]|[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu;

const escapeText = (text: string): string => text.replace(SPECIAL, (found) => ENTITIES[found] ?? '\uFFFD');
const element = (name: string, content: string): string => `<${name}>${content}</${name}>`;

function content(schema: NormalizedSchema, value: unknown): string {
  if (schema.isStructSchema()) {
    const members = value as Record<string, unknown>;
    let xml = '';
    for (const [name, member] of schema.structIterator()) {
      const inner = members[name];
      if (inner != null) xml += element(responseKey(name, member), content(member, inner));
    }
    return xml;
  }
  if (schema.isListSchema()) {
    const member = schema.getValueSchema();
    const name = member.getMergedTraits().xmlName ?? 'member';
    return (value as unknown[]).map((item) => element(name, content(member, item))).join('');
  }
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  return escapeText(String(value));
}

/**
 * Writes the answer of an operation as EC2 does.
 * @param operation its name.
 * @param schema its output; operations without one answer `<return>true</return>`.
 * @param output as the SDK's command returns it; members that are null or undefined are left out.
 */
export function encode(
  operation: string,
  schema: NormalizedSchema,
  output: object,
  requestId: string,
): string {
  const body = schema.isUnitSchema() ? element('return', 'true') : content(schema, output);
  const name = `${operation}Response`;
  return (
    `${DECLARATION}<${name} xmlns="http://ec2.amazonaws.com/doc/${API_VERSION}/">` +
    `${element('requestId', requestId)}${body}</${name}>`
  );
}

/** Writes an error as EC2 does. */
export function encodeError(error: AwsError, requestId: string): string {
  const body = element('Code', escapeText(error.code)) + element('Message', escapeText(error.message));
  const errors = element('Errors', element('Error', body));
  return DECLARATION + element('Response', errors + element('RequestID', requestId));
}

/** What the answers of a service in the AWS Query protocol are named by. */
export type AwsQueryNames = { readonly namespace: string };

/** Writes the answer of an operation in the AWS Query protocol. */
export function encodeAwsQuery(
  { namespace }: AwsQueryNames,
  operation: string,
  schema: NormalizedSchema,
  output: object,
  requestId: string,
): string {
  const result = element(`${operation}Result`, schema.isUnitSchema() ? '' : content(schema, output));
  const metadata = element('ResponseMetadata', element('RequestId', requestId));
  return `${DECLARATION}<${operation}Response xmlns="${namespace}">${result}${metadata}</${operation}Response>`;
}

/** Writes an error in the AWS Query protocol. */
export function encodeAwsQueryError(
  { namespace }: AwsQueryNames,
  error: AwsError,
  requestId: string,
): string {
  const type = element('Type', error.status < 500 ? 'Sender' : 'Receiver');
  const code = element('Code', escapeText(error.code)) + element('Message', escapeText(error.message));
  const body = element('Error', type + code) + element('RequestId', requestId);
  return `${DECLARATION}<ErrorResponse xmlns="${namespace}">${body}</ErrorResponse>`;
}
