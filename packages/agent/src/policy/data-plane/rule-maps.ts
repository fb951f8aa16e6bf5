import { setTimeout } from 'node:timers/promises';
import type { BpfMap } from '@enid/ebpf';
import {
  decisionKey,
  difference,
  type Peers,
  type PortClass,
  PortClasses,
  type Prefix,
} from '../compile/index.ts';
import type { Decision, RuleRef } from '../rules.ts';
import type { PeerKey, RuleVerdict, VerdictKey } from './layouts.ts';
import { inSlices } from './slices.ts';
import type { Usage } from './types.ts';

/** How many entries a system call takes: well below a millisecond. */
const BATCH = 512;
/** After which no program that runs has what it had looked up before; it runs for microseconds. */
const GRACE = 1_000;

/** A set's number, and what the kernel has of it. */
export type SetContent = {
  readonly id: number;
  readonly peers: Map<Prefix, PortClass>;
  readonly classes: Set<PortClass>;
};

/** A class in the kernel; before it is whole no set may use it. */
type Held = { readonly id: number; users: number; isWhole: boolean };
/** A decision that classes in the kernel have, by its number there. */
type Numbered = { readonly number: number; classes: number };

/** There are more entries than a map takes. */
export class MapFullError extends Error {
  override readonly name = 'MapFullError';
}

/** The maps `peers` and `verdicts`: which addresses have which class, and what that means. Classes are shared by all sets. */
export class RuleMaps {
  readonly classes = new PortClasses();
  readonly #peers: BpfMap<PeerKey, number>;
  readonly #verdicts: BpfMap<VerdictKey, RuleVerdict>;
  readonly #held = new Map<PortClass, Held>();
  readonly #rules = new Map<number, RuleRef>();
  readonly #numbers = new Map<string, Numbered>();
  readonly #abort = new AbortController();
  #nextClass = 1;
  /** None is given twice: what still speaks of one that has gone is not to name another. 0 is no rule. */
  #nextNumber = 1;
  #used = { peers: 0, verdicts: 0 };
  #burials: Promise<void> = Promise.resolve();
  readonly #onRoom: () => void;

  /** @param onRoom called when there is more room than there was, for whoever found none. */
  constructor(peers: BpfMap<PeerKey, number>, verdicts: BpfMap<VerdictKey, RuleVerdict>, onRoom: () => void) {
    this.#peers = peers;
    this.#verdicts = verdicts;
    this.#onRoom = onRoom;
  }

  /** By the number that it has in the kernel. */
  rule(number: number): RuleRef | undefined {
    return this.#rules.get(number);
  }

  get usage(): Omit<Usage, 'pods'> {
    return {
      peers: { used: this.#used.peers, most: this.#peers.info.maxEntries },
      verdicts: { used: this.#used.verdicts, most: this.#verdicts.info.maxEntries },
    };
  }

  /**
   * Makes a set what it should be, each address in one step.
   * @returns whether anything was different.
   * @throws {MapFullError} before anything has changed; BpfError when the kernel refuses something in between.
   */
  *change(set: SetContent, to: Peers): Generator<void, boolean> {
    const steps = difference(set.peers, to);
    yield;
    const classes = new Set(to.values());
    const fresh = [...classes].filter((one) => !this.#held.has(one));
    this.#check(
      'peers',
      steps.set.reduce((count, [prefix]) => count + (set.peers.has(prefix) ? 0 : 1), 0),
    );
    this.#check(
      'verdicts',
      fresh.reduce((count, { entries }) => count + entries.length, 0),
    );
    for (const one of classes) {
      if (set.classes.has(one)) continue;
      set.classes.add(one);
      yield* this.#hold(one);
    }
    for (const entries of batches(steps.set)) {
      // Noted first: what is noted in vain is taken out in vain.
      for (const [prefix, portClass] of entries) {
        if (!set.peers.has(prefix)) this.#used.peers++;
        set.peers.set(prefix, portClass);
      }
      this.#peers.updateAll(
        entries.map(([prefix, one]) => [{ set: set.id, prefix }, this.#held.get(one)!.id]),
      );
      yield;
    }
    yield* this.#remove(set, steps.remove);
    const dropped = [...set.classes].filter((one) => !classes.has(one));
    for (const one of dropped) set.classes.delete(one);
    if (dropped.length > 0) this.#bury(() => this.#letGo(dropped));
    if (steps.remove.length > 0) this.#onRoom();
    return steps.set.length + steps.remove.length > 0;
  }

  /** Takes a set out which no program uses any more, except for those that run at this moment. */
  drop(set: SetContent): void {
    this.#bury(() => this.clear(set));
  }

  /** Takes a set out at once. */
  *clear(set: SetContent): Generator<void, void> {
    yield* this.#remove(set, [...set.peers.keys()]);
    const classes = [...set.classes];
    set.classes.clear();
    yield* this.#letGo(classes);
  }

  /** Resolves when what was to be taken out until now is out. */
  async settled(): Promise<void> {
    await this.#burials;
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#burials;
  }

  #check(map: 'peers' | 'verdicts', more: number): void {
    const { used, most } = this.usage[map];
    if (used + more > most)
      throw new MapFullError(
        `the map ${map} has room for ${most} entries, holds ${used}, and was to take ${more} more`,
      );
  }

  *#hold(portClass: PortClass): Generator<void, void> {
    let held = this.#held.get(portClass);
    if (!held) {
      held = { id: this.#nextClass++, users: 0, isWhole: false };
      this.#held.set(portClass, held);
      this.#used.verdicts += portClass.entries.length;
      this.#number(portClass);
    }
    held.users++;
    if (held.isWhole) return;
    const { id } = held;
    for (const entries of batches(portClass.entries)) {
      this.#verdicts.updateAll(
        entries.map(({ decision, ...key }) => [
          { portClass: id, ...key },
          { rule: this.#numbers.get(decisionKey(decision))!.number, allows: decision.verdict === 'allow' },
        ]),
      );
      yield;
    }
    held.isWhole = true;
  }

  *#letGo(classes: readonly PortClass[]): Generator<void, void> {
    for (const one of classes) {
      const held = this.#held.get(one)!;
      held.users--;
      if (held.users > 0) continue;
      this.#held.delete(one);
      this.classes.forget(one);
      for (const entries of batches(one.entries)) {
        this.#verdicts.deleteAll(entries.map((key) => ({ portClass: held.id, ...key })));
        yield;
      }
      this.#used.verdicts -= one.entries.length;
      this.#unnumber(one);
    }
  }

  *#remove(set: SetContent, prefixes: readonly Prefix[]): Generator<void, void> {
    for (const some of batches(prefixes)) {
      this.#peers.deleteAll(some.map((prefix) => ({ set: set.id, prefix })));
      for (const prefix of some) if (set.peers.delete(prefix)) this.#used.peers--;
      yield;
    }
  }

  #bury(steps: () => Generator<void, void>): void {
    const { signal } = this.#abort;
    const grace = setTimeout(GRACE, undefined, { ref: false, signal });
    this.#burials = Promise.all([this.#burials, grace])
      .then(() => (signal.aborted ? undefined : inSlices(steps()).then(this.#onRoom)))
      .catch((error) => {
        if (!signal.aborted) throw error;
      });
  }

  #number(portClass: PortClass): void {
    for (const [key, { by }] of decisionsOf(portClass)) {
      const known = this.#numbers.get(key) ?? { number: this.#nextNumber++, classes: 0 };
      known.classes++;
      this.#numbers.set(key, known);
      this.#rules.set(known.number, by);
    }
  }

  #unnumber(portClass: PortClass): void {
    for (const key of decisionsOf(portClass).keys()) {
      const known = this.#numbers.get(key)!;
      if (--known.classes > 0) continue;
      this.#numbers.delete(key);
      this.#rules.delete(known.number);
    }
  }
}

const decisionsOf = ({ entries }: PortClass): Map<string, Decision> =>
  new Map(entries.map(({ decision }) => [decisionKey(decision), decision]));

function* batches<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < items.length; from += BATCH) yield items.slice(from, from + BATCH);
}
