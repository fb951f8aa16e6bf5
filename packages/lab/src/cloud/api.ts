import { randomUUID } from 'node:crypto';
import type { Draft } from 'immer';
import type { Logger } from 'pino';
import type { Clock } from './clock.ts';
import { newContext } from './context.ts';
import type { Keyring } from './credentials.ts';
import { Ec2Error } from './errors.ts';
import type { Fault, Faults } from './faults.ts';
import type { Caller, Context } from './operation.ts';
import { operations } from './operations/index.ts';
import { decode } from './query/decode.ts';
import { encode, encodeError } from './query/encode.ts';
import { API_VERSION, operationSchema } from './query/schema.ts';
import type { Quotas } from './quotas.ts';
import type { Settings } from './settings.ts';
import { authenticate, type SignedRequest } from './signature.ts';
import type { CloudState } from './state.ts';
import type { Store } from './store.ts';
import type { Throttle } from './throttle.ts';

export type Response = { readonly status: number; readonly requestId: string; readonly body: string };

export type Ec2ApiOptions = {
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
  UnauthorizedOperation: 'You are not authorized to perform this operation.',
  InternalError: 'An internal error has occurred',
  ServiceUnavailable: 'The service is unavailable. Please try again shortly.',
};

/** The EC2 API: from a signed HTTP request to the answer's XML. */
export class Ec2Api {
  readonly #options: Ec2ApiOptions;

  constructor(options: Ec2ApiOptions) {
    this.#options = options;
  }

  /** @returns the answer, or undefined when a fault wants the connection closed without one. */
  async handle(request: SignedRequest): Promise<Response | undefined> {
    const requestId = randomUUID();
    const started = this.#options.clock.now();
    const parameters = new URLSearchParams(request.body || new URL(request.url, 'http://lab').search);
    const action = parameters.get('Action') ?? '';
    const log = this.#options.log.child({ requestId, action });
    try {
      const body = await this.#answer(request, parameters, requestId);
      log.debug({ ms: this.#options.clock.now() - started }, 'answered');
      return body === undefined ? undefined : { status: 200, requestId, body };
    } catch (thrown) {
      const error = thrown instanceof Ec2Error ? thrown : internalError(thrown);
      if (error !== thrown) log.error({ err: thrown }, 'failed');
      else log.debug({ code: error.code, reason: error.message }, 'refused');
      return { status: error.status, requestId, body: encodeError(error, requestId) };
    }
  }

  async #answer(
    request: SignedRequest,
    parameters: URLSearchParams,
    requestId: string,
  ): Promise<string | undefined> {
    const { keyring, clock, store, throttle, faults, settings } = this.#options;
    const { region } = store.state;
    const caller = await authenticate(request, { keyring, region, now: clock.now() });

    const action = parameters.get('Action');
    if (!action) throw new Ec2Error('MissingAction', 'The request must contain the parameter Action');
    const version = parameters.get('Version');
    if (version !== API_VERSION) {
      throw new Ec2Error(
        'NoSuchVersion',
        `The requested version (${version}) of service AmazonEC2 does not exist: use ${API_VERSION}`,
      );
    }
    const schema = operationSchema(action);
    if (!schema)
      throw new Ec2Error('InvalidAction', `The action ${action} is not valid for this web service.`);
    const handler = operations.get(action);
    if (!handler) {
      throw new Ec2Error(
        'UnsupportedOperation',
        `The lab has no ${action}. It has ${[...operations.keys()].toSorted().join(', ')}.`,
      );
    }
    const input = decode(schema.input, parameters);
    if (!throttle.admit(action, input, settings().throttle)) {
      throw new Ec2Error('RequestLimitExceeded', 'Request limit exceeded.');
    }

    const fault = faults.strike(action, caller);
    if (fault?.delayMs) await new Promise<void>((resolve) => clock.after(fault.delayMs, resolve));
    if (fault?.when === 'before' && refuses(fault)) return undefined;
    if (input.DryRun === true) {
      throw new Ec2Error('DryRunOperation', 'Request would have succeeded, but DryRun flag is set.');
    }
    const xml = await this.#run(action, caller, (context) =>
      encode(action, schema.output, handler(input, context), requestId),
    );
    if (fault?.when === 'after' && refuses(fault)) return undefined;
    return xml;
  }

  /** Runs an operation: in a transaction, unless it only reads. */
  async #run(action: string, caller: Caller, operate: (context: Context) => string): Promise<string> {
    const { store } = this.#options;
    const contextOf = (state: Draft<CloudState>) => newContext(state, caller, this.#options);
    // A frozen state refuses to be changed, so that an operation which is only to read cannot but do that.
    if (/^(Describe|Get)/.test(action)) return operate(contextOf(store.state as Draft<CloudState>));
    return await store.transact((draft) => operate(contextOf(draft)));
  }
}

/** @returns true when the connection is to be closed. @throws {Ec2Error} the fault's. */
function refuses({ drop, code, message, status }: Fault): boolean {
  if (code !== undefined) {
    throw new Ec2Error(code, message ?? FAULT_MESSAGES[code] ?? `${code} (injected)`, status);
  }
  return drop;
}

function internalError(cause: unknown): Ec2Error {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new Ec2Error('InternalError', `An internal error has occurred, and nothing was changed: ${reason}`);
}
