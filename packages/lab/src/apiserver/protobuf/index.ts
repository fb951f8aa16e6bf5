/**
 * Bodies in Kubernetes' protobuf, which kubectl's typed commands and Go's client library send (apimachinery
 * `runtime/serializer/protobuf`).
 */
import type { Fields } from '../object.ts';
import { modelOfKind } from '../schema/models.ts';
import { ApiError, badRequest, unsupportedMediaType } from '../status.ts';
import { decodeModel } from './message.ts';
import { fieldsOf, messageOf } from './numbers/index.ts';
import { lastFields, type Wire } from './wire.ts';

/** The media type. */
export const PROTOBUF = 'application/vnd.kubernetes.protobuf';

const MAGIC = Buffer.from('k8s\0');

/**
 * The JSON that the client would have sent instead.
 * @throws {ApiError} BadRequest for malformed bytes, UnsupportedMediaType for a kind that has no protobuf here.
 */
export function decodeProtobuf(body: Buffer): Fields {
  try {
    const { apiVersion, kind, raw } = readEnvelope(body);
    return { apiVersion, kind, ...decodeModel(modelFor(apiVersion, kind), raw) };
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw badRequest(`couldn't parse the body as protobuf: ${(error as Error).message}`);
  }
}

/** `runtime.Unknown`. */
function readEnvelope(body: Buffer): { apiVersion: string; kind: string; raw: Wire | undefined } {
  if (!body.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new Error('it does not begin with the four bytes "k8s\\0"');
  }
  const { 1: typeMeta, 2: raw } = lastFields(body.subarray(MAGIC.length));
  const { 1: apiVersion, 2: kind } = lastFields(typeMeta instanceof Buffer ? typeMeta : Buffer.alloc(0));
  if (!(apiVersion instanceof Buffer) || !(kind instanceof Buffer)) {
    throw new Error('it does not say its apiVersion and kind');
  }
  return { apiVersion: apiVersion.toString(), kind: kind.toString(), raw };
}

function modelFor(apiVersion: string, kind: string): string {
  const [, group = '', version = ''] = /^(?:(.*)\/)?(.*)$/.exec(apiVersion)!;
  // Options are of the group that they are sent to.
  const model = kind === 'DeleteOptions' ? 'V1DeleteOptions' : modelOfKind(group, version, kind);
  if (model && fieldsOf(messageOf(model))) return model;
  throw unsupportedMediaType(`${PROTOBUF} of ${apiVersion} ${kind}`, [
    'application/json',
    'application/yaml',
  ]);
}
