/** Errors as Kubernetes answers them: `Status` objects (apimachinery `meta/v1`, `api/errors`). */
import type { Fields } from './object.ts';

/** How an error is named for clients, with its HTTP status. */
const CODES = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  ServiceUnavailable: 503,
  Timeout: 504,
} as const;

export type Reason = keyof typeof CODES;

export type Cause = { readonly reason?: string; readonly message: string; readonly field?: string };

export type Details = {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly Cause[];
  readonly retryAfterSeconds?: number;
};

/** What a request is refused with. */
export class ApiError extends Error {
  readonly reason: Reason;
  readonly details: Details | undefined;

  constructor(reason: Reason, message: string, details?: Details) {
    super(message);
    this.reason = reason;
    this.details = details;
  }

  get code(): number {
    return CODES[this.reason];
  }

  toStatus(): Fields {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      reason: this.reason,
      ...(this.details && { details: this.details }),
      code: this.code,
    };
  }
}

/** A refusal in the words of somebody else, such as an admission webhook. */
export class ForeignError extends ApiError {
  readonly #status: Fields & { readonly code: number };

  /** @param status all of its `Status`, with an HTTP status of 400 to 599. */
  constructor(status: Fields & { readonly code: number; readonly message: string }) {
    super('Forbidden', status.message);
    this.#status = status;
  }

  override get code(): number {
    return this.#status.code;
  }

  override toStatus(): Fields {
    return { kind: 'Status', apiVersion: 'v1', metadata: {}, ...this.#status };
  }
}

/** What errors say of the resource that they are about. */
export type Named = { readonly group: string; readonly plural: string; readonly kind: string };

/** `deployments.apps`, or `pods` of the core group. */
export function groupResource({ group, plural }: Pick<Named, 'group' | 'plural'>): string {
  return group === '' ? plural : `${plural}.${group}`;
}

function about(resource: Named, name: string): Details {
  return { name, ...(resource.group && { group: resource.group }), kind: resource.plural };
}

export function notFound(resource: Named, name: string): ApiError {
  return new ApiError('NotFound', `${groupResource(resource)} "${name}" not found`, about(resource, name));
}

export function alreadyExists(resource: Named, name: string): ApiError {
  const message = `${groupResource(resource)} "${name}" already exists`;
  return new ApiError('AlreadyExists', message, about(resource, name));
}

export function conflict(resource: Named, name: string, why: string): ApiError {
  const message = `Operation cannot be fulfilled on ${groupResource(resource)} "${name}": ${why}`;
  return new ApiError('Conflict', message, about(resource, name));
}

export const MODIFIED =
  'the object has been modified; please apply your changes to the latest version and try again';

export function forbidden(resource: Named, name: string, why: string, causes?: readonly Cause[]): ApiError {
  const message = `${groupResource(resource)} "${name}" is forbidden: ${why}`;
  return new ApiError('Forbidden', message, { ...about(resource, name), ...(causes && { causes }) });
}

export function badRequest(message: string): ApiError {
  return new ApiError('BadRequest', message);
}

/** @param supported media types that would have been understood. */
export function unsupportedMediaType(contentType: string, supported: readonly string[]): ApiError {
  return new ApiError(
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - accepted media types include: ${supported.join(', ')}` +
      ` (not ${contentType})`,
  );
}

/** @param causes what is wrong with which field, in the words of `field.Error`. */
export function invalid(
  resource: Pick<Named, 'group' | 'kind'>,
  name: string,
  causes: readonly Cause[],
): ApiError {
  const { group, kind } = resource;
  const errors = causes.map(({ field, message }) => (field ? `${field}: ${message}` : message));
  const list = errors.length === 1 ? errors[0] : `[${errors.join(', ')}]`;
  return new ApiError('Invalid', `${group ? `${kind}.${group}` : kind} "${name}" is invalid: ${list}`, {
    name,
    ...(group && { group }),
    kind,
    causes,
  });
}

/** The causes that {@link invalid} takes, by the kinds of `field.Error`. */
export const field = {
  required: (path: string, detail = ''): Cause => ({
    reason: 'FieldValueRequired',
    message: `Required value${detail && `: ${detail}`}`,
    field: path,
  }),
  invalid: (path: string, value: unknown, detail: string): Cause => ({
    reason: 'FieldValueInvalid',
    message: `Invalid value: ${JSON.stringify(value)}: ${detail}`,
    field: path,
  }),
  forbidden: (path: string, detail: string): Cause => ({
    reason: 'FieldValueForbidden',
    message: `Forbidden: ${detail}`,
    field: path,
  }),
  notSupported: (path: string, value: unknown, supported: readonly string[]): Cause => ({
    reason: 'FieldValueNotSupported',
    message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${supported.map((v) => JSON.stringify(v)).join(', ')}`,
    field: path,
  }),
};
