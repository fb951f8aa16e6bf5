/** Errors as the CNI specification has them: a number, a sentence and the way out. */

/** Codes of the specification (1 to 99), of the reference implementation (999), and our own (100 and up). */
export const CniCode = {
  incompatibleVersion: 1,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodingFailure: 6,
  invalidConfig: 7,
  tryAgainLater: 11,
  notAvailable: 50,
  checkFailed: 100,
  internal: 999,
} as const;

export type CniCode = (typeof CniCode)[keyof typeof CniCode];

/** A CNI operation that failed. A runtime prints `msg; details`. */
export class CniError extends Error {
  override readonly name = 'CniError';
  readonly code: CniCode;
  /** The way out, as a sentence. */
  readonly details: string | undefined;

  constructor(code: CniCode, message: string, details?: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
  }
}
