/** What AWS refuses: its own code and message, with the operation and what to do where that is known. */

const throttled = 'the account makes more calls than AWS allows it; they are tried again, more slowly';
const denied = "attach the policy in docs/load-balancers.md to the controller's role";
const credentials =
  "AWS does not accept the controller's credentials: check the role of its service account, and the clock";

const WAYS_OUT: Readonly<Record<string, string>> = {
  RequestLimitExceeded: throttled,
  Throttling: throttled,
  TooManyRequests: throttled,
  UnauthorizedOperation: denied,
  AccessDenied: denied,
  AuthFailure: credentials,
  InvalidClientTokenId: credentials,
  ExpiredToken: credentials,
  CredentialsProviderError:
    'give the service account of the controller a role, or the node an instance profile',
};

/** What would be done at another time: what is in the way is the stack's own, gone but still seen, or there and not seen yet. */
const OUT_OF_TIME = /^(PriorityInUse|RequestExpired)$|Duplicate/;

export class AwsError extends Error {
  /** AWS's code, such as `TooManyRules`; the name of the error when the call did not reach AWS. */
  readonly code: string;
  /** Such as `CreateRule`. */
  readonly operation: string;

  constructor(cause: unknown, operation: string) {
    const { name = 'Error', code, message = String(cause) } = cause as Error & { code?: string };
    // The SDK adds to the codes of ELBv2 what they are.
    const known = name === 'Error' && code ? code : name.replace(/Exception$/, '');
    const wayOut = WAYS_OUT[known];
    super(`${operation}: ${message} (${known})${wayOut ? `: ${wayOut}` : ''}`, { cause });
    this.name = name;
    this.code = known;
    this.operation = operation;
  }

  get isThrottling(): boolean {
    return WAYS_OUT[this.code] === throttled;
  }

  /** What was named does not exist, or describing does not show it yet. */
  get isNotFound(): boolean {
    return /NotFound/.test(this.code);
  }

  /** AWS has understood and does not do it: something of what is asked must change, as it would not for another try. */
  get isRefusal(): boolean {
    const { $metadata } = (this.cause ?? {}) as { $metadata?: { httpStatusCode?: number } };
    return (
      $metadata?.httpStatusCode === 400 &&
      !Object.hasOwn(WAYS_OUT, this.code) &&
      !OUT_OF_TIME.test(this.code) &&
      !this.isInUse
    );
  }

  /** Something else must go before. */
  get isInUse(): boolean {
    return this.code === 'ResourceInUse' || this.code === 'DependencyViolation';
  }
}
