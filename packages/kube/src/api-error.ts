/** A refusal of the API server, from the Status that it answered with. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** HTTP status. */
  readonly code: number;
  /** The machine's word for it, such as `NotFound`, `AlreadyExists`, `Conflict`, `Expired`. */
  readonly reason: string;
  readonly status: Status;

  constructor(status: Status, what: string) {
    super(`${what}: ${status.message ?? status.reason ?? `HTTP ${status.code}`}`);
    this.status = status;
    this.code = status.code ?? 500;
    this.reason = status.reason ?? 'Unknown';
  }
}

export type Status = {
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly details?: {
    readonly retryAfterSeconds?: number;
    readonly causes?: readonly { readonly message?: string }[];
  };
};

export const isNotFound = (error: unknown) => error instanceof ApiError && error.code === 404;
export const isAlreadyExists = (error: unknown) =>
  error instanceof ApiError && error.reason === 'AlreadyExists';
/** The object has changed since it was read, or is not the one that was meant. */
export const isConflict = (error: unknown) => error instanceof ApiError && error.reason === 'Conflict';
/** The wanted version has been forgotten: list again. */
export const isGone = (error: unknown) => error instanceof ApiError && error.code === 410;
/** The namespace takes nothing new, as it is being deleted. */
export const isNamespaceTerminating = (error: unknown) =>
  error instanceof ApiError && error.code === 403 && /being terminated/.test(error.message);
