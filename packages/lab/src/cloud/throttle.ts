import type { Clock } from './clock.ts';
import type { Settings } from './settings.ts';

type Class = keyof NonNullable<Settings['throttle']>;

/** Which bucket an operation draws from: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html */
function classOf(operation: string, input: Readonly<Record<string, unknown>>): Class {
  if (!/^\w+:(Describe|Get|List)/.test(operation)) return 'write';
  const isNarrow = Object.entries(input).some(
    ([name, value]) => name === 'MaxResults' || (Array.isArray(value) && value.length > 0),
  );
  return isNarrow ? 'read' : 'readAll';
}

/** Request throttling as EC2 has it: each operation has a bucket of tokens that fills at a constant rate. */
export class Throttle {
  readonly #clock: Clock;
  readonly #buckets = new Map<string, { tokens: number; at: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Takes a token. @returns false when there is none: the request is refused. */
  admit(operation: string, input: Readonly<Record<string, unknown>>, rates: Settings['throttle']): boolean {
    if (!rates) return true;
    const kind = classOf(operation, input);
    const { capacity, refillPerSecond } = rates[kind];
    const key = `${operation} ${kind}`;
    const now = this.#clock.now();
    const bucket = this.#buckets.get(key) ?? { tokens: capacity, at: now };
    const tokens = Math.min(capacity, bucket.tokens + ((now - bucket.at) / 1000) * refillPerSecond);
    const admitted = tokens >= 1;
    this.#buckets.set(key, { tokens: admitted ? tokens - 1 : tokens, at: now });
    return admitted;
  }
}
