import type { Direction, DirectionRules, PolicyRules } from '../rules.ts';
import type { Binding } from './layouts.ts';
import type { SetContent } from './rule-maps.ts';

/** All that binds a direction, as the kernel holds it. Pods that are bound by the same share it. */
export class PolicySet {
  readonly direction: Direction;
  readonly content: SetContent;
  /** What it is to hold; equal for rules that are the same. */
  key: string;
  rules: DirectionRules;
  /** Resolves when the kernel holds it, or it is known that it cannot. Never rejects. */
  work: Promise<void> = Promise.resolve();
  /** Whether the work begins with writing the rules as they are then. */
  isQueued = false;
  /** Why it could not be held. Nothing passes then. */
  closed: Error | undefined;
  /** The links that are bound by it, or are to be. */
  readonly users = new Set<number>();
  #revision: number;

  constructor(id: number, revision: number, direction: Direction, key: string, rules: DirectionRules) {
    this.content = { id, peers: new Map(), classes: new Set() };
    this.#revision = revision;
    this.direction = direction;
    this.key = key;
    this.rules = rules;
  }

  /** What programs compare flows with. There is no set 0, and where nothing is, nothing passes. */
  get binding(): Binding {
    return this.closed ? 0n : (BigInt(this.content.id) << 32n) | BigInt(this.#revision);
  }

  /** Lets flows be judged anew. */
  revise(): void {
    this.#revision = (this.#revision + 1) >>> 0;
  }
}

const identities = new WeakMap<PolicyRules, number>();
let last = 0;

/** Equal for rules that are made of the same objects. */
export function keyOf(rules: DirectionRules, direction: Direction): string {
  const list = (policies: readonly PolicyRules[]) =>
    policies
      .map((one) => {
        const known = identities.get(one) ?? ++last;
        identities.set(one, known);
        return known;
      })
      .sort((a, b) => a - b)
      .join();
  const { always, admin, networkPolicies, baseline } = rules;
  return [direction, always.join(), list(admin), list(networkPolicies), list(baseline), rules.default].join(
    ' ',
  );
}
