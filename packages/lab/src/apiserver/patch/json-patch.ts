/** `application/json-patch+json` (RFC 6902). */
import { applyPatch, type Operation, Pointer } from 'rfc6902';
import { isTooDeep, TOO_DEEP } from '../depth.ts';
import { type Fields, isFields } from '../object.ts';
import { ApiError, badRequest } from '../status.ts';

const OPERATIONS = ['add', 'remove', 'replace', 'move', 'copy', 'test'];
const OF_PROTOTYPES: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);
/** As many as the real server takes. */
const MOST_OPERATIONS = 10_000;
/** What all copies may add, in characters of JSON: a copy of what holds copies would double it each time. */
const MOST_COPIED = 3 * 1024 * 1024;

/**
 * Applies operations one after another: all of them or none. The object stays as it is.
 * @throws {ApiError} BadRequest of what is no patch, Invalid of one that does not fit the object.
 */
export function jsonPatch(object: Fields, patch: unknown, resource: { kind: string }): Fields {
  const operations = readOperations(patch);
  // One level down, so that an operation may replace the whole.
  const root = { object: structuredClone(object) };
  let copied = 0;
  for (const [index, operation] of operations.entries()) {
    if (operation.op === 'copy') {
      copied += sizeOf(Pointer.fromJSON(`/object${operation.from}`).evaluate(root).value);
      if (copied > MOST_COPIED) throw tooMuch(copied);
    }
    const inner = { ...operation, path: `/object${operation.path}`, ...moved(operation) };
    const error = isReachable(root, inner) ? applyPatch(root, [inner])[0] : new Error('no such index');
    if (error) throw refused(operation, error, index, resource.kind);
  }
  if (!isFields(root.object)) throw badRequest('the patch leaves no object');
  if (isTooDeep(root.object)) throw badRequest(`the patch makes an object that cannot be: ${TOO_DEEP}`);
  return root.object;
}

function sizeOf(value: unknown): number {
  if (isTooDeep(value)) throw badRequest(`what the patch copies cannot be copied: ${TOO_DEEP}`);
  return JSON.stringify(value)?.length ?? 0;
}

function tooMuch(copied: number): ApiError {
  const message = `Unable to complete the copy, the accumulated size increase of copy is ${copied}, exceeding the limit ${MOST_COPIED}`;
  return new ApiError('Invalid', message);
}

function moved(operation: Operation): { from?: string } {
  return 'from' in operation ? { from: `/object${operation.from}` } : {};
}

/** Whether a place is one in JSON, and an index one that the list has, or its end. The library takes any. */
function isReachable(root: object, operation: Operation): boolean {
  const { op, path } = operation;
  const tokens = [path, ...('from' in operation ? [operation.from] : [])].flatMap((text) => text.split('/'));
  if (tokens.some((token) => OF_PROTOTYPES.has(token))) return false;
  const { parent, key } = Pointer.fromJSON(path).evaluate(root);
  if (!Array.isArray(parent) || op === 'test') return true;
  if (key === '-') return op !== 'replace' && op !== 'remove';
  return /^(0|[1-9]\d*)$/.test(key) && Number(key) <= parent.length;
}

function readOperations(patch: unknown): Operation[] {
  if (!Array.isArray(patch)) throw badRequest('error decoding patch: a JSON patch is a list of operations');
  if (patch.length > MOST_OPERATIONS) {
    const message = `The allowed maximum operations in a JSON patch is ${MOST_OPERATIONS}, got ${patch.length}`;
    throw new ApiError('RequestEntityTooLarge', message);
  }
  return patch.map((operation: unknown, index) => {
    if (!isFields(operation) || !OPERATIONS.includes(String(operation.op))) {
      throw badRequest(`error decoding patch: operation ${index} is none of ${OPERATIONS.join(', ')}`);
    }
    const pointers = operation.op === 'move' || operation.op === 'copy' ? ['path', 'from'] : ['path'];
    for (const name of pointers) {
      const pointer = operation[name];
      if (typeof pointer === 'string' && (pointer === '' || pointer.startsWith('/'))) continue;
      throw badRequest(
        `error decoding patch: operation ${index}: ${name} ${JSON.stringify(pointer) ?? 'is missing and'} must be a JSON pointer, which begins with "/"`,
      );
    }
    if (['add', 'replace', 'test'].includes(String(operation.op)) && operation.value === undefined) {
      throw badRequest(`error decoding patch: operation ${index} has no value`);
    }
    return operation as unknown as Operation;
  });
}

/** Without details, as kubectl would show these instead of the message. */
function refused(operation: Operation, error: Error, index: number, kind: string): ApiError {
  const { op, path } = operation;
  const places = 'from' in operation ? `${operation.from} or ${path}` : path;
  const why =
    error.name === 'TestError'
      ? `testing value ${path} failed`
      : `${op} operation does not apply: doc is missing path: ${JSON.stringify(places)}`;
  return new ApiError(
    'Invalid',
    `the server rejected our request due to an error in our request: operation ${index} on the ${kind}: ${why}`,
  );
}
