import type { AdaptiveThrottle } from './throttle.ts';

/** What is told of a request: the operation (`DescribeSubnets`), how long it took, and why it failed if it did. */
export type RequestOutcome = {
  readonly operation: string;
  readonly milliseconds: number;
  readonly error?: unknown;
};

export type FollowOptions = {
  /** What an operation has to wait for. */
  readonly throttle: (operation: string) => AdaptiveThrottle;
  readonly isThrottling: (error: unknown) => boolean;
  readonly observe: (outcome: RequestOutcome) => void;
};

/** What is used of a client of the AWS SDK, of whatever service. */
type Client = {
  readonly middlewareStack: {
    add(
      middleware: <Args, Output>(
        next: (args: Args) => Promise<Output>,
        context: { commandName?: string },
      ) => (args: Args) => Promise<Output>,
      options: { step: 'finalizeRequest'; priority: 'low'; name: string },
    ): void;
  };
};

/** Holds each request of a client back until it is its turn, and tells of it. The SDK repeats some that fail: each counts. */
export function followRequests(client: object, { throttle, isThrottling, observe }: FollowOptions): void {
  (client as Client).middlewareStack.add(
    (next, { commandName = '' }) =>
      async (args) => {
        const operation = commandName.replace(/Command$/, '');
        const pace = throttle(operation);
        await pace.acquire();
        const began = performance.now();
        try {
          const result = await next(args);
          pace.succeeded();
          observe({ operation, milliseconds: performance.now() - began });
          return result;
        } catch (error) {
          if (isThrottling(error)) pace.slowDown();
          observe({ operation, milliseconds: performance.now() - began, error });
          throw error;
        }
      },
    // Within what repeats: that has a high priority.
    { step: 'finalizeRequest', priority: 'low', name: 'enidPace' },
  );
}
