/**
 * The EC2 API as far as it limits callers: a token bucket for each call, shared by all nodes of the account, with the
 * sizes that AWS documents (https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html).
 */
import type { Random } from './random.ts';
import type { Process, VirtualTime } from './virtual-time.ts';

/** Calls at once, and calls a second. */
type Bucket = { readonly size: number; readonly refill: number };

const READ: Bucket = { size: 100, refill: 20 };
const MUTATE: Bucket = { size: 50, refill: 5 };
/** Calls with buckets of their own. */
const OWN: Readonly<Record<string, Bucket>> = {
  AssignPrivateIpAddresses: { size: 100, refill: 5 },
  UnassignPrivateIpAddresses: { size: 100, refill: 5 },
  CreateNetworkInterface: { size: 100, refill: 5 },
  DeleteNetworkInterface: { size: 100, refill: 5 },
  ModifyNetworkInterfaceAttribute: { size: 100, refill: 5 },
};

/** EC2 has refused a call: too many of its name. */
export class Throttled extends Error {}

/** The SDK's: attempts in all, and the mean pause before the second one, in milliseconds. */
const ATTEMPTS = 3;
const PAUSE = 500;

export class Ec2Api {
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #tokens = new Map<string, { left: number; at: number }>();
  /** Requests by name, refused ones included. */
  readonly requests: Record<string, number> = {};
  readonly throttles: Record<string, number> = {};

  constructor(time: VirtualTime, random: Random) {
    this.#time = time;
    this.#random = random;
  }

  /** Makes a call as the SDK does, which tries again when it is refused. @throws {Throttled} */
  *call(name: string): Process {
    for (let attempt = 1; ; attempt++) {
      this.requests[name] = (this.requests[name] ?? 0) + 1;
      if (this.#take(name)) return;
      this.throttles[name] = (this.throttles[name] ?? 0) + 1;
      if (attempt === ATTEMPTS) throw new Throttled(name);
      yield this.#random.next() * PAUSE * 2 ** (attempt - 1);
    }
  }

  #take(name: string): boolean {
    const { size, refill } = OWN[name] ?? (name.startsWith('Describe') ? READ : MUTATE);
    const { now } = this.#time;
    const bucket = this.#tokens.get(name) ?? { left: size, at: now };
    const left = Math.min(size, bucket.left + ((now - bucket.at) / 1000) * refill);
    const taken = left >= 1;
    this.#tokens.set(name, { left: taken ? left - 1 : left, at: now });
    return taken;
  }
}
