import type { AwsError } from './errors.ts';
import type { Context } from './operation.ts';
import type { SignedRequest } from './signature.ts';

/** An operation as the API calls it: its input is what the service made of the request. */
export type Handler = (input: object, context: Context) => object;

/** What a request asks for, read. */
export type Question = {
  readonly action: string;
  readonly input: Readonly<Record<string, unknown>>;
  readonly handler: Handler;
  /** Writes the answer's body. */
  write(output: object, requestId: string): string;
};

/** One service of AWS as its clients reach it: how requests are read and answers written. */
export type Service = {
  /** As the scope of a signature has it. */
  readonly name: string;
  readonly contentType: string;
  /** The operation that a request names, which may be none of the service's; undefined when it names none. */
  actionOf(request: SignedRequest): string | undefined;
  /** @throws {AwsError} for an operation that is none, or that the lab has not, and for malformed input. */
  read(request: SignedRequest): Question;
  /** Writes an error's body. */
  writeError(error: AwsError, requestId: string): string;
  /** The code of the error for requests that come too fast. */
  readonly throttled: string;
  /** Whether describing is behind by the setting `describeLagMs`. */
  readonly lags: boolean;
};

/** The parameters of a request in one of the Query protocols. */
export function formOf(request: SignedRequest): URLSearchParams {
  return new URLSearchParams(request.body || new URL(request.url, 'http://lab').search);
}
