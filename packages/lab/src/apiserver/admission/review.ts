/** What a webhook is asked and what it answers (`admission.k8s.io/v1` AdmissionReview). */
import { randomUUID } from 'node:crypto';
import { type Fields, isFields, type KubeObject, type StoredObject } from '../object.ts';
import type { Attributes } from '../registry/admission.ts';
import { show, store } from '../registry/conversion.ts';
import { type Resource, splitGroupVersion } from '../registry/resource.ts';
import { type ApiError, ForeignError } from '../status.ts';

const API_VERSION = 'admission.k8s.io/v1';
const KIND = 'AdmissionReview';
/** What a client is told at most, as it is told in headers: warnings, and characters of each. */
const MOST_WARNINGS = 16;
const LONGEST_WARNING = 256;

export type Review = Fields & { readonly request: Fields & { readonly uid: string } };

export type Verdict = {
  /** A JSON patch of the object; undefined: it stays as it is. */
  readonly patch: unknown;
  readonly warnings: readonly string[];
  /** What the client is refused with; undefined: it is allowed. */
  readonly refusal: ((webhook: string) => ApiError) | undefined;
};

/** @param as the version of the resource in which the webhook sees the request. */
export function writeReview(as: Resource, attributes: Attributes): Review {
  const { operation, target, subresource, object, old, call } = attributes;
  const { resource, namespace, name } = target;
  const { username, uid, groups, extra } = call.user;
  const shown = (one: KubeObject | undefined) => (one ? convert(one, resource, as) : null);
  const subject = object ?? old!;
  const own = subject.kind === resource.kind;
  const kindOf = ({ group, version, kind }: Resource) => ({ group, version, kind });
  const [group, version] = splitGroupVersion(subject.apiVersion);
  const foreign = { group, version, kind: subject.kind };
  const named = (one: Resource) => ({ group: one.group, version: one.version, resource: one.plural });
  const isNamespace = resource.storage === 'namespaces';
  return {
    apiVersion: API_VERSION,
    kind: KIND,
    request: {
      uid: randomUUID(),
      kind: own ? kindOf(as) : foreign,
      resource: named(as),
      ...(subresource && { subResource: subresource }),
      requestKind: own ? kindOf(resource) : foreign,
      requestResource: named(resource),
      ...(subresource && { requestSubResource: subresource }),
      ...(name && { name }),
      ...((namespace || isNamespace) && { namespace: isNamespace ? name : namespace }),
      operation,
      userInfo: { username, ...(uid && { uid }), groups, ...(extra && { extra }) },
      object: shown(object),
      oldObject: shown(old),
      dryRun: call.dryRun,
      options: operation === 'CONNECT' ? null : call.options,
    },
  };
}

/** What is no object of the resource (a Scale, an Eviction) is the same in each of its versions. */
function convert(object: KubeObject, from: Resource, to: Resource): KubeObject {
  if (from === to || object.kind !== from.kind) return object;
  return show(to, store(from, object) as StoredObject);
}

/** @throws Error of an answer that is none. */
export function readReview(answer: unknown, { request }: Review, mayPatch: boolean): Verdict {
  if (!isFields(answer) || answer.apiVersion !== API_VERSION || answer.kind !== KIND) {
    const { apiVersion, kind } = isFields(answer) ? answer : {};
    throw unusable(
      `expected webhook response of ${API_VERSION}, Kind=${KIND}, got ${apiVersion}, Kind=${kind}`,
    );
  }
  const { response } = answer;
  if (!isFields(response)) throw unusable('webhook response was absent');
  if (response.uid !== request.uid)
    throw unusable(`expected response.uid="${request.uid}", got ${JSON.stringify(response.uid)}`);
  const warnings = Array.isArray(response.warnings) ? response.warnings.map(String) : [];
  return {
    patch: response.allowed === true ? readPatch(response, mayPatch) : undefined,
    warnings: warnings.slice(0, MOST_WARNINGS).map((text) => text.slice(0, LONGEST_WARNING)),
    refusal: response.allowed === true ? undefined : (webhook) => refusal(webhook, response.status),
  };
}

function readPatch({ patch, patchType }: Fields, mayPatch: boolean): unknown {
  if (patch === undefined || patch === null || patch === '') {
    if (patchType !== undefined && patchType !== null)
      throw unusable('webhook returned response.patchType but not response.patch');
    return undefined;
  }
  if (!mayPatch) throw unusable('a validating webhook may not return response.patch');
  if (patchType !== 'JSONPatch')
    throw unusable(`response.patchType must be "JSONPatch", got ${JSON.stringify(patchType ?? null)}`);
  try {
    return JSON.parse(Buffer.from(String(patch), 'base64').toString());
  } catch (error) {
    throw unusable(`response.patch is no base64 of JSON: ${(error as Error).message}`);
  }
}

function unusable(why: string): Error {
  return new Error(`received invalid webhook response: ${why}`);
}

/** The webhook's own status, made a failure whatever it says (`webhook/errors.ToStatusErr`). */
function refusal(webhook: string, said: unknown): ApiError {
  const status = isFields(said) ? said : {};
  const why = status.message || status.reason;
  const code = Number(status.code);
  return new ForeignError({
    ...status,
    status: 'Failure',
    message: `admission webhook "${webhook}" denied the request${why ? `: ${why}` : ' without explanation'}`,
    code: Number.isInteger(code) && code >= 400 && code < 600 ? code : 400,
  });
}
