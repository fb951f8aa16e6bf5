import { randomUUID } from 'node:crypto';
import type { Draft } from 'immer';
import type { Logger } from 'pino';
import type { Clock } from './clock.ts';
import { newContext } from './context.ts';
import type { Keyring } from './credentials.ts';
import { AwsError, Ec2Error } from './errors.ts';
import type { Fault, Faults } from './faults.ts';
import type { Caller, Context } from './operation.ts';
import type { Quotas } from './quotas.ts';
import type { Service } from './service.ts';
import { acm } from './services/acm.ts';
import { ec2 } from './services/ec2.ts';
import { elbv2 } from './services/elbv2.ts';
import type { Settings } from './settings.ts';
import { authenticate, type SignedRequest, serviceOf } from './signature.ts';
import type { CloudState } from './state.ts';
import type { Store } from './store.ts';
import type { Throttle } from './throttle.ts';

export type Response = {
  readonly status: number;
  readonly requestId: string;
  readonly contentType: string;
  readonly body: string;
};

export type AwsApiOptions = {
  readonly store: Store;
  readonly keyring: Keyring;
  readonly throttle: Throttle;
  readonly faults: Faults;
  readonly settings: () => Settings;
  readonly quotas: Quotas;
  readonly clock: Clock;
  readonly log: Logger;
  /** Determines the ids of what is made. */
  readonly seed: string;
};

/** What each error says when a fault does not say it. */
const FAULT_MESSAGES: Readonly<Record<string, string>> = {
  RequestLimitExceeded: 'Request limit exceeded.',
  Throttling: 'Rate exceeded',
  ThrottlingException: 'Rate exceeded',
  UnauthorizedOperation: 'You are not authorized to perform this operation.',
  InternalError: 'An internal error has occurred',
  ServiceUnavailable: 'The service is unavailable. Please try again shortly.',
};

/** The services of the lab's AWS. One endpoint answers for all. */
const SERVICES: readonly Service[] = [ec2, elbv2, acm];

/**
 * The service that a request is meant for: the one that it is signed for, or whose name its host begins with. It is EC2
 * that answers what is for none.
 */
function serviceFor(request: SignedRequest): Service {
  const [host] = (request.headers.host ?? '').split('.');
  const name = serviceOf(request) ?? host;
  return SERVICES.find((service) => service.name === name) ?? ec2;
}

/** The APIs of AWS: from a signed HTTP request to the answer. */
export class AwsApi {
  readonly #options: AwsApiOptions;

  constructor(options: AwsApiOptions) {
    this.#options = options;
  }

  /** @returns the answer, or undefined when a fault wants the connection closed without one. */
  async handle(request: SignedRequest): Promise<Response | undefined> {
    const service = serviceFor(request);
    const { contentType } = service;
    const requestId = randomUUID();
    const started = this.#options.clock.now();
    const log = this.#options.log.child({ requestId, action: service.actionOf(request) ?? '' });
    try {
      const body = await this.#answer(service, request, requestId);
      log.debug({ ms: this.#options.clock.now() - started }, 'answered');
      return body === undefined ? undefined : { status: 200, requestId, contentType, body };
    } catch (thrown) {
      const error = thrown instanceof AwsError ? thrown : internalError(thrown);
      if (error !== thrown) log.error({ err: thrown }, 'failed');
      else log.debug({ code: error.code, reason: error.message }, 'refused');
      return { status: error.status, requestId, contentType, body: service.writeError(error, requestId) };
    }
  }

  async #answer(service: Service, request: SignedRequest, requestId: string): Promise<string | undefined> {
    const { keyring, clock, store, throttle, faults, settings } = this.#options;
    const { region } = store.state;
    const { name } = service;
    const caller = await authenticate(request, { keyring, region, now: clock.now(), service: name });

    const { action, input, handler, write } = service.read(request);
    if (!throttle.admit(`${name}:${action}`, input, settings().throttle)) {
      throw new AwsError(service.throttled, FAULT_MESSAGES[service.throttled]!);
    }

    const fault = faults.strike(action, caller);
    if (fault?.delayMs) await new Promise<void>((resolve) => clock.after(fault.delayMs, resolve));
    if (fault?.when === 'before' && refuses(fault)) return undefined;
    if (input.DryRun === true) {
      throw new Ec2Error('DryRunOperation', 'Request would have succeeded, but DryRun flag is set.');
    }
    const body = await this.#run(service, action, caller, (context) =>
      write(handler(input, context), requestId),
    );
    if (fault?.when === 'after' && refuses(fault)) return undefined;
    return body;
  }

  /** Runs an operation: in a transaction, unless it only reads. */
  async #run(
    { lags }: Service,
    action: string,
    caller: Caller,
    operate: (context: Context) => string,
  ): Promise<string> {
    const { store, settings } = this.#options;
    const past = lags ? store.before(settings().describeLagMs) : store.state;
    const contextOf = (state: Draft<CloudState>) => newContext(state, caller, { ...this.#options, past });
    // A frozen state refuses to be changed, so that an operation which is only to read cannot but do that.
    if (/^(Describe|Get|List)/.test(action)) return operate(contextOf(past as Draft<CloudState>));
    return await store.transact((draft) => operate(contextOf(draft)));
  }
}

/** @returns true when the connection is to be closed. @throws {AwsError} the fault's. */
function refuses({ drop, code, message, status }: Fault): boolean {
  if (code !== undefined) {
    throw new AwsError(code, message ?? FAULT_MESSAGES[code] ?? `${code} (injected)`, status);
  }
  return drop;
}

function internalError(cause: unknown): AwsError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new AwsError('InternalError', `An internal error has occurred, and nothing was changed: ${reason}`);
}
