import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { parseDocument } from 'yaml';
import { isTooDeep, TOO_DEEP } from '../depth.ts';
import { type Fields, isFields } from '../object.ts';
import { decodeProtobuf, PROTOBUF } from '../protobuf/index.ts';
import { ApiError, badRequest, unsupportedMediaType } from '../status.ts';

/** What the real server takes of a request, in bytes. */
export const BODY_LIMIT = 3 * 1024 * 1024;

const JSON_TYPES = new Set([
  'application/json',
  'application/json-patch+json',
  'application/merge-patch+json',
  PROTOBUF,
]);
const unzip = promisify(gunzip);

export type Body = {
  /** Without parameters, in lower case; empty when the client has named none. */
  readonly contentType: string;
  /** Protobuf is turned into JSON as it comes in. */
  readonly text: string;
};

/** Reads a request's body to its end. @throws {ApiError} RequestEntityTooLarge, BadRequest, UnsupportedMediaType. */
export async function readBody(request: IncomingMessage): Promise<Body> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    // What is too long is read on, so that the client hears the answer, but is not kept.
    if (length <= BODY_LIMIT) chunks.push(chunk);
  }
  if (length > BODY_LIMIT) throw tooLarge();
  const bytes = Buffer.concat(chunks);
  const contentType = (request.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
  const content = await decoded(request, bytes);
  const isProtobuf = contentType === PROTOBUF && content.length > 0;
  return {
    contentType,
    text: isProtobuf ? JSON.stringify(decodeProtobuf(content)) : content.toString('utf8'),
  };
}

async function decoded(request: IncomingMessage, bytes: Buffer): Promise<Buffer> {
  if (request.headers['content-encoding'] !== 'gzip') return bytes;
  try {
    return await unzip(bytes, { maxOutputLength: BODY_LIMIT });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge();
    throw badRequest(`the body is not gzip, as its content-encoding says: ${(error as Error).message}`);
  }
}

function tooLarge(): ApiError {
  return new ApiError('RequestEntityTooLarge', `Request entity too large: limit is ${BODY_LIMIT}`);
}

/**
 * Reads JSON or YAML.
 * @throws {ApiError} BadRequest for a malformed body, UnsupportedMediaType for another format.
 */
export function parseBody(body: Body): unknown {
  const value = parse(body);
  if (isTooDeep(value)) throw badRequest(`couldn't parse the body: ${TOO_DEEP}`);
  return value;
}

function parse({ contentType, text }: Body): unknown {
  const yaml = contentType === 'application/yaml' || contentType === 'application/apply-patch+yaml';
  if (!yaml && contentType !== '' && !JSON_TYPES.has(contentType) && !contentType.endsWith('+json')) {
    throw unsupportedMediaType(contentType, ['application/json', 'application/yaml', PROTOBUF]);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!yaml) throw badRequest(`couldn't parse the body as JSON: ${(error as Error).message}`);
  }
  try {
    const document = parseDocument(text);
    const error = document.errors[0];
    if (error) throw error;
    // A document whose aliases expand without end is refused.
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    const { code, message } = error as Error & { code?: string };
    // The parser calls itself, too, and says so when there is no stack left.
    throw badRequest(
      `couldn't parse the body as YAML: ${code === 'RESOURCE_EXHAUSTION' ? TOO_DEEP : message}`,
    );
  }
}

/** The same for a body that must be an object. @throws {ApiError} as {@link parseBody}. */
export function parseObject(body: Body): Fields {
  const value = parseBody(body);
  if (isFields(value)) return value;
  throw badRequest('the body must be an object');
}
