import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import { stringify } from 'yaml';
import { ApiError } from '../status.ts';
import { jsonOf } from '../storage/json.ts';

/** Answers of at least this many bytes are compressed, as the real server does. */
const COMPRESS_AT = 128 * 1024;

const zip = promisify(gzip);

/** Answers with an object, in JSON or YAML, compressed when it is long and the client can read that. */
export async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  code: number,
  value: object,
  options: { yaml?: boolean; warnings?: readonly string[]; contentType?: string } = {},
): Promise<void> {
  const text = options.yaml ? stringify(value) : jsonOf(value);
  const contentType = options.contentType ?? (options.yaml ? 'application/yaml' : 'application/json');
  await respondBytes(request, response, code, Buffer.from(text), { ...options, contentType });
}

/** The same with bytes. */
export async function respondBytes(
  request: IncomingMessage,
  response: ServerResponse,
  code: number,
  bytes: Buffer,
  options: { contentType: string; warnings?: readonly string[]; headers?: Record<string, string> },
): Promise<void> {
  response.setHeader('content-type', options.contentType);
  response.setHeader('cache-control', 'no-cache, private');
  for (const [name, value] of Object.entries(options.headers ?? {})) response.setHeader(name, value);
  if (options.warnings && options.warnings.length > 0) {
    response.setHeader(
      'warning',
      options.warnings.map((text) => `299 - ${quoted(text)}`),
    );
  }
  let body = bytes;
  if (bytes.length >= COMPRESS_AT && /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''))) {
    body = await zip(bytes, { level: constants.Z_BEST_SPEED });
    response.setHeader('content-encoding', 'gzip');
    response.setHeader('vary', 'accept-encoding');
  }
  response.statusCode = code;
  response.setHeader('content-length', body.length);
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** Answers with an error. What is no {@link ApiError} is a fault of ours, and said to be. */
export async function respondError(
  request: IncomingMessage,
  response: ServerResponse,
  error: unknown,
): Promise<void> {
  const known = asApiError(error);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const wait = known.details?.retryAfterSeconds;
  if (wait) response.setHeader('retry-after', wait);
  await respond(request, response, known.code, known.toStatus());
}

/** A quoted-string of RFC 9110, in what a header may hold. */
function quoted(text: string): string {
  const clean = text.replace(/[^\x20-\x7e]/g, ' ');
  return `"${clean.replace(/["\\]/g, '\\$&')}"`;
}

/** Refuses a connection that was to be upgraded, which has no response yet. */
export function writeRefusal(socket: Duplex, error: unknown): void {
  const known = asApiError(error);
  const body = JSON.stringify(known.toStatus());
  socket.end(
    `HTTP/1.1 ${known.code} ${STATUS_CODES[known.code]}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  process.emitWarning(error as Error);
  return new ApiError('InternalError', `Internal error occurred: ${(error as Error).message}`);
}
