import type { Decision, Direction, DirectionRules } from '../rules.ts';
import { digest, type Line, linesOf } from './lines.ts';
import { type PortClass, type PortClasses, portEntries } from './port-class.ts';
import { firstOf, lastOf, type Prefix, ROOTS } from './prefix.ts';

/** Of the prefixes that hold an address, the longest says its class. There is one for each family as a whole. */
export type Peers = ReadonlyMap<Prefix, PortClass>;

/** How much is done between two chances to do something else. */
const SLICE = 2_000;

/**
 * Works out the peers of a direction, for which one lookup by longest prefix gives what first match over all rules gives. A
 * generator, since 100,000 blocks take a while: whoever runs it may pause at each step.
 */
export function* compiling(
  rules: DirectionRules,
  direction: Direction,
  classes: PortClasses,
): Generator<void, Peers> {
  for (const policy of [...rules.admin, ...rules.networkPolicies, ...rules.baseline]) {
    digest(policy);
    yield;
  }
  const { lines, marks } = linesOf(rules, direction);
  const changes = new Interner();
  const changeAt = new Map<Prefix, number>(Object.values(ROOTS).map((root) => [root, 0]));
  for (const { prefixes, lines } of marks)
    for (let i = 0; i < prefixes.length; i++) {
      if (i % SLICE === 0) yield;
      changeAt.set(prefixes[i]!, changes.extend(changeAt.get(prefixes[i]!) ?? 0, lines[i]!));
    }
  const states = new States(changes, lines, otherwise(rules, direction), classes);
  const peers = new Map<Prefix, PortClass>();
  for (const prefixes of byFamily(changeAt.keys())) {
    // The prefixes around the one that is looked at.
    const around: { last: number | bigint; state: number; portClass: PortClass | undefined }[] = [];
    for (const [i, prefix] of prefixes.entries()) {
      if (i % SLICE === 0) yield;
      while (around.length > 0 && around.at(-1)!.last < firstOf(prefix)) around.pop();
      const outer = around.at(-1);
      const state = states.after(outer?.state ?? 0, changeAt.get(prefix)!);
      const isNew = states.isNew(state);
      const portClass = states.portClass(state);
      if (portClass !== outer?.portClass) peers.set(prefix, portClass);
      around.push({ last: lastOf(prefix), state, portClass });
      if (isNew) yield;
    }
  }
  return peers;
}

/** All at once. */
export function compile(rules: DirectionRules, direction: Direction, classes: PortClasses): Peers {
  const steps = compiling(rules, direction, classes);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

function otherwise(rules: DirectionRules, direction: Direction): Decision {
  const [first] = rules.networkPolicies.toSorted((a, b) =>
    `${a.policy.namespace}/${a.policy.name}` < `${b.policy.namespace}/${b.policy.name}` ? -1 : 1,
  );
  return first
    ? { verdict: 'deny', by: { direction, tier: 'NetworkPolicy', policy: first.policy } }
    : { verdict: rules.default, by: { direction, tier: 'Default' } };
}

/** Outer prefixes before inner ones. */
function byFamily(prefixes: Iterable<Prefix>): [readonly Prefix[], readonly Prefix[]] {
  const v4: number[] = [];
  const v6: bigint[] = [];
  for (const prefix of prefixes) typeof prefix === 'number' ? v4.push(prefix) : v6.push(prefix);
  return [Array.from(Float64Array.from(v4).sort()), v6.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))];
}

/** Lists of numbers as numbers, 0 the empty one: most prefixes say what others say as well. */
class Interner {
  readonly lists: (readonly number[])[] = [[]];
  readonly #extended: Map<number, number>[] = [new Map()];

  extend(list: number, by: number): number {
    const known = this.#extended[list]!.get(by);
    if (known !== undefined) return known;
    const made = this.lists.push([...this.lists[list]!, by]) - 1;
    this.#extended.push(new Map());
    this.#extended[list]!.set(by, made);
    return made;
  }
}

/** Which lines hold at a prefix, 0 being none: worked out once for each way that there is to come to it. */
class States {
  readonly #changes: Interner;
  readonly #lines: readonly Line[];
  readonly #otherwise: Decision;
  readonly #classes: PortClasses;
  readonly #states: (readonly number[])[] = [[]];
  readonly #numbers = new Map<string, number>([['', 0]]);
  readonly #after = new Map<number, number>();
  readonly #known = new Map<number, PortClass>();

  constructor(changes: Interner, lines: readonly Line[], otherwise: Decision, classes: PortClasses) {
    this.#changes = changes;
    this.#lines = lines;
    this.#otherwise = otherwise;
    this.#classes = classes;
  }

  after(state: number, change: number): number {
    if (change === 0) return state;
    const step = state * this.#changes.lists.length + change;
    let after = this.#after.get(step);
    if (after === undefined) {
      const marks = this.#changes.lists[change]!;
      const holding = new Set(this.#states[state]);
      for (const line of marks) if (line >= 0) holding.add(line);
      for (const line of marks) if (line < 0) holding.delete(~line);
      const sorted = [...holding].sort((a, b) => a - b);
      const text = sorted.join();
      after = this.#numbers.get(text) ?? this.#states.push(sorted) - 1;
      this.#numbers.set(text, after);
      this.#after.set(step, after);
    }
    return after;
  }

  isNew(state: number): boolean {
    return !this.#known.has(state);
  }

  portClass(state: number): PortClass {
    let known = this.#known.get(state);
    if (!known) {
      const lines = this.#states[state]!.map((line) => this.#lines[line]!);
      known = this.#classes.intern(portEntries(lines, this.#otherwise));
      this.#known.set(state, known);
    }
    return known;
  }
}
