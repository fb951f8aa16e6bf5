import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { BpfMap, type BpfObject, type Codec, RingBuffer, requireFeature, u32Codec } from '@enid/ebpf';
import { parseCidr } from '@enid/ip';
import { compiling, prefixOf } from '../compile/index.ts';
import type { Direction } from '../rules.ts';
import { PolicyNotHeldError } from './errors.ts';
import { Hooks } from './hooks.ts';
import { loadPrograms } from './kernel.ts';
import * as layouts from './layouts.ts';
import { countersOf, eventsOf, flowsOf } from './observe.ts';
import { keyOf, PolicySet } from './policy-set.ts';
import { RuleMaps } from './rule-maps.ts';
import { inSlices } from './slices.ts';
import type {
  Counters,
  DataPlaneOptions,
  Explanation,
  Flow,
  Guard,
  LogLevel,
  PolicyEvent,
  Question,
  Usage,
} from './types.ts';

/** What others may build on; tests stand in for it. */
export type PolicyDataPlane = Pick<DataPlane, keyof DataPlane>;

type Sets = { readonly [D in Direction]: PolicySet };
type Pod = {
  readonly ifindex: number;
  /** In the kernel's array. */
  readonly place: number;
  log: LogLevel;
  /** What is to bind it. */
  wanted: Sets;
  /** What binds it in the kernel. */
  bound: Sets | undefined;
};

const NOBODY: layouts.Pod = { bindings: { ingress: 0n, egress: 0n }, log: 0, ifindex: 0 };
const LOG_LEVELS: readonly LogLevel[] = ['none', 'denied', 'all'];

/**
 * Enforces rules on the packets of pods, by two programs on the links that the pods have on the node. What is in the kernel
 * outlives the process: the next one opens the same directory, guards the same pods, and puts its programs in place of the old ones
 * without a gap. A pod that is not guarded anew keeps the rules it had.
 *
 * Pods without a policy are guarded as well (with `unbound` rules): who began a flow is known only to who saw it
 * begin, and a policy that comes later must not cut the others.
 */
export class DataPlane {
  readonly #object: BpfObject;
  readonly #hooks: Hooks;
  readonly #kernelPlaces: BpfMap<number, number>;
  readonly #kernelPods: BpfMap<number, layouts.Pod>;
  readonly #kernelPeers: BpfMap<layouts.PeerKey, number>;
  readonly #kernelVerdicts: BpfMap<layouts.VerdictKey, layouts.RuleVerdict>;
  readonly #kernelFlows: BpfMap<layouts.FlowKey, layouts.FlowState>;
  readonly #rules: RuleMaps;
  readonly #loaded: number;
  readonly #pods = new Map<number, Pod>();
  readonly #sets = new Map<string, PolicySet>();
  /** Random like revisions, so that flows which another process judged are judged anew. */
  #nextSet = randomInt(1, 2 ** 31);
  readonly #takenPlaces = new Set<number>();
  #lastPlace = 0;
  #ring: RingBuffer<layouts.KernelEvent> | undefined;
  #isClosed = false;

  private constructor(object: BpfObject, hooks: Hooks, loaded: number) {
    this.#object = object;
    this.#hooks = hooks;
    this.#loaded = loaded;
    this.#kernelPlaces = typed(object, 'places', u32Codec, u32Codec);
    this.#kernelPods = typed(object, 'pods', u32Codec, layouts.podCodec);
    this.#kernelPeers = typed(object, 'peers', layouts.peerKeyCodec, u32Codec);
    this.#kernelVerdicts = typed(object, 'verdicts', layouts.verdictKeyCodec, layouts.verdictCodec);
    this.#kernelFlows = typed(object, 'flows', layouts.flowKeyCodec, layouts.flowCodec);
    this.#rules = new RuleMaps(this.#kernelPeers, this.#kernelVerdicts, () => {
      for (const set of this.#sets.values()) if (set.closed && !this.#isClosed) this.#write(set);
    });
  }

  /**
   * Loads the programs. Nothing is enforced differently by that.
   * @throws {UnsupportedKernelError} naming the kernel that it takes, or what has to be mounted.
   */
  static async open(options: DataPlaneOptions): Promise<DataPlane> {
    const { directory, ns, hook = 'clsact' } = options;
    if (hook === 'tcx') requireFeature('tcx');
    const loaded = randomInt(1, 2 ** 32);
    const object = loadPrograms(options, loaded);
    const programs = { ingress: object.program('to_pod'), egress: object.program('from_pod') };
    const hooks = new Hooks({ kind: hook, programs, directory: join(directory, 'links'), ns });
    hooks.tidy();
    return new DataPlane(object, hooks, loaded);
  }

  /** The links that this process guards. */
  guarded(): number[] {
    return [...this.#pods.keys()];
  }

  /**
   * Puts rules in force on pods: those of a new pod stand when this resolves, those of a guarded one change from one
   * packet to the next. What several pods share should be changed in one call: it is then changed in place.
   * Calls wait for each other only where they concern the same rules.
   * @throws {PolicyNotHeldError} when some could not be held: those pods are closed, the others in force. It is tried again when others
   *   have made room, and when the closed ones are guarded again.
   * @throws {SyscallError} ENODEV when there is no such link; the others are guarded.
   */
  async guard(guards: readonly Guard[]): Promise<void> {
    const latest = [...new Map(guards.map((guard) => [guard.ifindex, guard])).values()];
    const ingress = this.#plan(latest, 'ingress');
    const egress = this.#plan(latest, 'egress');
    const pods = latest.map(({ ifindex, log = 'none' }, i) =>
      this.#want(ifindex, log, { ingress: ingress[i]!, egress: egress[i]! }),
    );
    const results = await Promise.allSettled(pods.map((pod) => this.#settle(pod)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    const closed = pods.filter(({ wanted }) => wanted.ingress.closed || wanted.egress.closed);
    const [first] = closed;
    if (!first) return;
    const cause = first.wanted.ingress.closed ?? first.wanted.egress.closed;
    throw new PolicyNotHeldError(
      `the kernel cannot hold the policies of ${closed.length} pods, which are closed: ${cause?.message}; use fewer blocks or ports, or larger maps`,
      closed.map(({ ifindex }) => ifindex),
      { cause },
    );
  }

  /** Takes the programs off a link, which may be gone: everything passes. */
  async release(ifindex: number): Promise<void> {
    this.#hooks.detach(ifindex);
    const pod = this.#pods.get(ifindex);
    if (!pod) return;
    this.#pods.delete(ifindex);
    this.#kernelPlaces.delete(ifindex);
    this.#kernelPods.update(pod.place, NOBODY);
    this.#takenPlaces.delete(pod.place);
    for (const set of new Set([...setsOf(pod.wanted), ...setsOf(pod.bound)])) this.#leave(ifindex, set);
  }

  /** What the kernel's maps say of a packet that begins a flow. */
  explain({ ifindex, direction, address, protocol, port }: Question): Explanation {
    const binding = this.#kernelPod(ifindex)?.bindings[direction];
    if (binding === undefined) return {};
    const set = Number(binding >> 32n);
    const bound = { set, revision: Number(binding & 0xffff_ffffn) };
    const prefix = prefixOf(parseCidr(`${address}/${address.includes(':') ? 128 : 32}`));
    const peerClass = this.#kernelPeers.lookup({ set, prefix });
    const closed = { verdict: 'deny', by: { direction, tier: 'Closed' } } as const;
    if (peerClass === undefined) return { ...bound, decision: closed };
    const found = this.#kernelVerdicts.lookup({ portClass: peerClass, protocol, port, bits: 24 });
    const by = found && this.#rules.rule(found.rule);
    if (!by) return { ...bound, peerClass, decision: closed };
    return { ...bound, peerClass, decision: { verdict: found.allows ? 'allow' : 'deny', by } };
  }

  /** Flows of a pod, or of all, that the kernel remembers. */
  async flows(ifindex?: number): Promise<Flow[]> {
    return await flowsOf(this.#kernelFlows, ifindex, (key, { binding, direction, rule }) => {
      const isOurs = this.#pods.get(key.ifindex)?.bound?.[direction].binding === binding;
      return { isCurrent: isOurs, by: isOurs ? this.#rules.rule(rule) : undefined };
    });
  }

  /** Events as they come, until {@link close}. There is one reader. */
  events(): AsyncIterable<PolicyEvent> {
    this.#ring ??= new RingBuffer(this.#object.map('events'), layouts.eventCodec);
    return eventsOf(this.#ring, this.#loaded, ({ rule, direction }) =>
      rule === 0 ? { direction, tier: 'Closed' } : this.#rules.rule(rule),
    );
  }

  counters(): Counters {
    return countersOf(this.#object.map('counters'));
  }

  usage(): Usage {
    const pods = { used: this.#pods.size, most: this.#kernelPods.info.maxEntries };
    return { pods, ...this.#rules.usage };
  }

  /** Lets go of the kernel's objects; what is enforced stays enforced. */
  async close(): Promise<void> {
    this.#ring?.close();
    this.#isClosed = true;
    await Promise.all([...this.#sets.values()].map(({ work }) => work));
    await this.#rules.close();
    for (const map of [this.#kernelPods, this.#kernelPeers, this.#kernelVerdicts, this.#kernelFlows])
      map.close();
    this.#kernelPlaces.close();
    this.#object.close();
  }

  /** Which sets are to bind the pods. Those that change, or are new, begin to be written. */
  #plan(guards: readonly Guard[], direction: Direction): PolicySet[] {
    const moves = guards.map(({ ifindex, rules }) => ({
      ifindex,
      key: keyOf(rules[direction], direction),
      rules: rules[direction],
      from: this.#pods.get(ifindex)?.wanted[direction],
    }));
    /** How many go from a set to the same rules. */
    const together = new Map<PolicySet | undefined, Map<string, number>>();
    for (const { from, key } of moves) {
      const counts = together.get(from) ?? new Map<string, number>();
      together.set(from, counts.set(key, (counts.get(key) ?? 0) + 1));
    }
    return moves.map(({ ifindex, key, rules, from }) => {
      let set = this.#sets.get(key);
      if (!set && from && together.get(from)?.get(key) === from.users.size) {
        this.#sets.delete(from.key);
        set = from;
        set.key = key;
        set.rules = rules;
        this.#write(set);
      }
      if (!set) {
        set = new PolicySet(this.#setNumber(), randomInt(2 ** 32), direction, key, rules);
        this.#write(set);
      }
      this.#sets.set(key, set);
      set.users.add(ifindex);
      if (set.closed) this.#write(set);
      return set;
    });
  }

  #want(ifindex: number, log: LogLevel, wanted: Sets): Pod {
    const pod = this.#pods.get(ifindex) ?? {
      ifindex,
      place: this.#takePlace(ifindex),
      log,
      wanted,
      bound: undefined,
    };
    this.#pods.set(ifindex, pod);
    const before = pod.wanted;
    pod.log = log;
    pod.wanted = wanted;
    this.#leaveUnused(pod, before);
    return pod;
  }

  /** Binds a pod to what it is to be bound by, when the kernel holds that. */
  async #settle(pod: Pod): Promise<void> {
    for (;;) {
      const sets = setsOf(pod.wanted);
      const works = sets.map(({ work }) => work);
      await Promise.all(works);
      if (this.#isClosed || this.#pods.get(pod.ifindex) !== pod) return;
      if (setsOf(pod.wanted).every((set, i) => set === sets[i] && set.work === works[i])) break;
    }
    const before = pod.bound;
    pod.bound = pod.wanted;
    this.#bind(pod);
    try {
      if (!before) {
        if (pod.place !== this.#ownPlace(pod.ifindex)) this.#kernelPlaces.update(pod.ifindex, pod.place);
        this.#hooks.attach(pod.ifindex);
      }
    } catch (error) {
      await this.release(pod.ifindex);
      throw error;
    }
    this.#leaveUnused(pod, before);
  }

  #bind({ ifindex, place, bound, log }: Pod): void {
    const bindings = { ingress: bound!.ingress.binding, egress: bound!.egress.binding };
    this.#kernelPods.update(place, { bindings, log: LOG_LEVELS.indexOf(log), ifindex });
  }

  #write(set: PolicySet): void {
    if (set.isQueued) return;
    set.isQueued = true;
    set.work = set.work.then(async () => {
      set.isQueued = false;
      const wasClosed = set.closed !== undefined;
      const isDifferent = await this.#hold(set);
      // The flows that are there are judged anew, each with its next packet.
      if (isDifferent || wasClosed) this.#revise(set);
    });
  }

  /** @returns whether the kernel has something else for the set now. */
  async #hold(set: PolicySet): Promise<boolean> {
    try {
      const peers = await inSlices(compiling(set.rules, set.direction, this.#rules.classes));
      let isDifferent = true;
      try {
        isDifferent = await inSlices(this.#rules.change(set.content, peers));
      } catch (error) {
        // Closed first, so that what was there may make room.
        set.closed = error as Error;
        this.#revise(set);
        await this.#rules.settled();
        await inSlices(this.#rules.clear(set.content));
        await inSlices(this.#rules.change(set.content, peers));
      }
      set.closed = undefined;
      return isDifferent;
    } catch (error) {
      set.closed = error as Error;
      await inSlices(this.#rules.clear(set.content));
      return true;
    }
  }

  #revise(set: PolicySet): void {
    set.revise();
    for (const ifindex of set.users) {
      const pod = this.#pods.get(ifindex);
      if (pod?.bound?.[set.direction] === set) this.#bind(pod);
    }
  }

  #leaveUnused(pod: Pod, sets: Sets | undefined): void {
    const used = [...setsOf(pod.wanted), ...setsOf(pod.bound)];
    for (const set of setsOf(sets)) if (!used.includes(set)) this.#leave(pod.ifindex, set);
  }

  #leave(ifindex: number, set: PolicySet): void {
    set.users.delete(ifindex);
    if (set.users.size > 0) return;
    if (this.#sets.get(set.key) === set) this.#sets.delete(set.key);
    set.work = set.work.then(() => this.#rules.drop(set.content));
  }

  /** What the kernel has of a pod, found as the programs find it. */
  #kernelPod(ifindex: number): layouts.Pod | undefined {
    const pod = this.#kernelPods.lookup(this.#ownPlace(ifindex));
    if (pod?.ifindex === ifindex) return pod;
    const place = this.#kernelPlaces.lookup(ifindex);
    return place === undefined ? undefined : this.#kernelPods.lookup(place);
  }

  #ownPlace(ifindex: number): number {
    return ifindex % this.#kernelPods.info.maxEntries;
  }

  /** Its own, or else one that nobody had for long. @throws {Error} when there are as many pods as there can be. */
  #takePlace(ifindex: number): number {
    const { maxEntries } = this.#kernelPods.info;
    if (this.#takenPlaces.size === maxEntries)
      throw new Error(`no more than ${maxEntries} pods can be guarded on a node`);
    let place = this.#ownPlace(ifindex);
    if (this.#takenPlaces.has(place)) {
      while (this.#takenPlaces.has(this.#lastPlace)) this.#lastPlace = (this.#lastPlace + 1) % maxEntries;
      place = this.#lastPlace;
    }
    this.#takenPlaces.add(place);
    return place;
  }

  #setNumber(): number {
    this.#nextSet = (this.#nextSet + 1) >>> 0 || 1;
    return this.#nextSet;
  }
}

const setsOf = (sets: Sets | undefined) => (sets ? [sets.ingress, sets.egress] : []);

/** A map of the object with codecs of our own. */
function typed<K, V>(object: BpfObject, name: string, key: Codec<K>, value: Codec<V>): BpfMap<K, V> {
  return BpfMap.byId(object.map(name).info.id, { key, value });
}
