/** The clients of AWS: at the pace that AWS grants, with errors that keep its code and message. */
import { ACMClient } from '@aws-sdk/client-acm';
import { EC2Client } from '@aws-sdk/client-ec2';
import { ElasticLoadBalancingV2Client } from '@aws-sdk/client-elastic-load-balancing-v2';
import { AdaptiveThrottle, followRequests, type RequestOutcome, type ThrottleOptions } from '@enid/aws';
import { AwsError } from './error.ts';

export type AwsClients = Disposable & {
  readonly elb: ElasticLoadBalancingV2Client;
  readonly ec2: EC2Client;
  readonly acm: ACMClient;
};

export type AwsOptions = {
  readonly region: string;
  /** Instead of AWS's own, and of what AWS_ENDPOINT_URL says. */
  readonly endpoint?: string;
  /** Instead of the default chain's. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** How often a request is made before it counts as failed; 6. */
  readonly maxAttempts?: number;
  /** Of an operation that was never throttled: AWS gives each a bucket of its own. */
  readonly pace?: ThrottleOptions;
  readonly observe?: (outcome: RequestOutcome) => void;
  /** Once it aborts nothing is asked of AWS any more, and what is under way is given up. */
  readonly signal?: AbortSignal;
};

const PACE = { fastest: 20, burst: 50 };

const clock = {
  now: Date.now,
  sleep: (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds)),
};

/** Nothing is asked of AWS before the first call. Their calls throw {@link AwsError}. */
export function openAws(given: AwsOptions): AwsClients {
  const { observe = () => {}, maxAttempts = 6, pace = PACE, signal, ...options } = given;
  const settings = {
    ...options,
    maxAttempts,
    customUserAgent: 'enid',
    // Without limits of time an AWS that cannot be reached would hold a worker up for ever.
    requestHandler: { connectionTimeout: 3_000, requestTimeout: 30_000, throwOnRequestTimeout: true },
  };
  const clients = {
    elb: new ElasticLoadBalancingV2Client(settings),
    ec2: new EC2Client(settings),
    acm: new ACMClient(settings),
  };
  for (const client of Object.values(clients)) {
    const throttles = new Map<string, AdaptiveThrottle>();
    followRequests(client, {
      throttle(operation) {
        const throttle = throttles.get(operation) ?? new AdaptiveThrottle(clock, pace);
        throttles.set(operation, throttle);
        return throttle;
      },
      isThrottling: (error) => new AwsError(error, '').isThrottling,
      observe,
    });
    translateErrors(client);
    if (signal) endBy(signal, client);
  }
  return {
    ...clients,
    [Symbol.dispose]() {
      for (const client of Object.values(clients)) client.destroy();
    },
  };
}

/** Each request heeds the signal, also those that are tried again: there is no way into the SDK before it asks its handler. */
function endBy(signal: AbortSignal, { config: { requestHandler } }: AwsClients['elb' | 'ec2' | 'acm']): void {
  const handle = requestHandler.handle.bind(requestHandler);
  requestHandler.handle = (request, options) => handle(request, { ...options, abortSignal: signal });
}

type Client = {
  readonly middlewareStack: {
    add(
      middleware: <Args, Output>(
        next: (args: Args) => Promise<Output>,
        context: { commandName?: string },
      ) => (args: Args) => Promise<Output>,
      options: { step: 'initialize'; priority: 'high'; name: string },
    ): void;
  };
};

function translateErrors(client: object): void {
  (client as Client).middlewareStack.add(
    (next, { commandName = '' }) =>
      (args) =>
        next(args).catch((cause) => {
          throw new AwsError(cause, commandName.replace(/Command$/, ''));
        }),
    // Around what repeats.
    { step: 'initialize', priority: 'high', name: 'enidErrors' },
  );
}
