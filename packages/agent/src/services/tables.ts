/** The tables of services in the kernel: read once, then changed by differences. */
import {
  changeNftElements,
  type NetlinkSocket,
  type NetNamespace,
  Nftables,
  type NftElementChange,
  NftError,
  nftGeneration,
  openNetfilter,
  packetsPassed,
} from '@enid/linux';
import { elementChanges, forgetting } from './elements.ts';
import { affinityMaps, baseScript, type Family, type LayoutOptions, memoryOfMap, TABLE } from './layout.ts';
import { type Forgotten, readMemory } from './memory.ts';
import {
  type Change,
  changeScript,
  entry,
  listedObjects,
  type Objects,
  splitKey,
  tidyScript,
} from './objects.ts';
import { endpointOfMember, idOfMemory, idOfMemoryChain, memoriesOf } from './plan.ts';

/** What the tables should have. */
export interface Goal {
  get(object: string): string | undefined;
  byService(): Iterable<[service: string, objects: Iterable<string>]>;
  /** The endpoints that clients of a port of a Service may be remembered with. */
  stickyEndpointsOf(id: string, family: Family): ReadonlySet<string>;
}

export type Brought = {
  /** What was changed. */
  readonly changes: readonly Change[];
  /** Services whose objects the kernel did not take, with its words. */
  readonly refused: ReadonlyMap<string, string>;
};

/** Chains that nobody uses any more stay until there are this many of them: they cost nothing but their names. */
const UNUSED_CHAINS = 64;

export class Tables implements Disposable {
  readonly #ns: NetNamespace;
  readonly #nftables: Nftables;
  readonly #families: readonly Family[];
  readonly #layout: LayoutOptions;
  /** What is in the kernel. */
  #installed: Objects = new Map();
  /** The chains and affinity maps among it. */
  #structures = new Set<string>();
  /** Memories, as `<family> <memory>`, that may have clients of endpoints that are gone: until a transaction has forgotten those. */
  readonly #suspects = new Set<string>();
  /** The kernel's count of transactions when that was known; undefined: it has to be read. */
  #generation: number | undefined;
  #socket: NetlinkSocket | undefined;

  constructor(ns: NetNamespace, families: readonly Family[], layout: LayoutOptions) {
    this.#ns = ns;
    this.#nftables = new Nftables(ns);
    this.#families = families;
    this.#layout = layout;
  }

  /** Leaves the tables as they are. */
  [Symbol.dispose](): void {
    this.#socket?.close();
  }

  get #netfilter(): NetlinkSocket {
    this.#socket ??= openNetfilter(this.#ns);
    return this.#socket;
  }

  get installed(): ReadonlyMap<string, string> {
    return this.#installed;
  }

  /** Whether nobody has changed any rules of the node since the last change from here. */
  get isKnown(): boolean {
    return this.#generation !== undefined && this.#generation === nftGeneration(this.#netfilter);
  }

  /** Reads what is installed. */
  async read(): Promise<void> {
    this.#generation = undefined;
    const generation = nftGeneration(this.#netfilter);
    const installed: Objects = new Map();
    for (const family of this.#families) {
      const listing = (await this.#nftables.list({ family, name: TABLE })) ?? [];
      for (const [object, value] of listedObjects(listing)) installed.set(object, value);
    }
    this.#setInstalled(installed);
    // A former run may have ended before it had forgotten everybody.
    for (const structure of this.#structures) {
      const { family, set, key } = splitKey(structure);
      if (set === 'map') this.#suspects.add(`${family} ${memoryOfMap(key)}`);
    }
    this.#generation = generation;
  }

  #setInstalled(installed: Objects): void {
    this.#installed = installed;
    this.#structures = new Set([...installed.keys()].filter(isStructure));
  }

  /**
   * Does one transaction for what differs.
   * @param touched the objects that may differ.
   */
  async change(goal: Goal, touched: Iterable<string>): Promise<Brought> {
    const changes = this.#differences(goal, touched);
    if (changes.length === 0) return { changes, refused: new Map() };
    try {
      await this.#bring(goal, changes);
    } catch (error) {
      if (!(error instanceof NftError)) throw error;
      // Somebody has been at the table.
      return this.restore(goal);
    }
    await this.#tidy(goal, UNUSED_CHAINS);
    return { changes, refused: new Map() };
  }

  /**
   * Makes the tables what they should be, whatever they are: at the start, and when somebody else changed rules. What is
   * there and right stays as it is.
   */
  async restore(goal: Goal): Promise<Brought> {
    const base = this.#families.map((family) => baseScript(family, this.#layout)).join('');
    if (!this.isKnown) await this.read();
    const changes = this.#differences(goal, [...this.#installed.keys(), ...allOf(goal)]);
    try {
      await this.#bring(goal, changes, base);
    } catch (error) {
      if (!(error instanceof NftError)) throw error;
      return this.#replace(goal, base);
    }
    await this.#tidy(goal, 0);
    return { changes, refused: new Map() };
  }

  /** Makes the tables anew, in one transaction: another release may have had other maps by the same names. */
  async #replace(goal: Goal, base: string): Promise<Brought> {
    const former = this.#installed;
    const removal = this.#families
      .map((family) => `table ${family} ${TABLE}\ndelete table ${family} ${TABLE}\n`)
      .join('');
    this.#setInstalled(new Map());
    const changes = this.#differences(goal, allOf(goal));
    try {
      await this.#apply(removal + base + changeScript(changes), changes);
      return { changes, refused: new Map() };
    } catch (error) {
      if (!(error instanceof NftError)) throw error;
    }
    // Something of a Service is refused: all the others go on.
    this.#setInstalled(former);
    try {
      await this.#apply(base, []);
    } catch (error) {
      if (!(error instanceof NftError)) throw error;
      await this.#apply(removal + base, []);
      this.#setInstalled(new Map());
    }
    const stale = this.#differences(goal, [...this.#installed.keys()]);
    await this.#bring(goal, stale).catch((error) => {
      if (!(error instanceof NftError)) throw error;
    });
    const done: Change[] = [];
    const refused = new Map<string, string>();
    const services = Map.groupBy(goal.byService(), ([service]) => service);
    await this.#oneByOne(
      goal,
      [...services].map(([service, ports]) => [service, ports.flatMap(([, objects]) => [...objects])]),
      done,
      refused,
    );
    return { changes: done, refused };
  }

  /** Applies the objects of Services in halves of halves until those are found that are refused. */
  async #oneByOne(
    goal: Goal,
    services: readonly [string, string[]][],
    done: Change[],
    refused: Map<string, string>,
  ): Promise<void> {
    const changes = this.#differences(
      goal,
      services.flatMap(([, objects]) => objects),
    );
    try {
      await this.#bring(goal, changes);
      done.push(...changes);
    } catch (error) {
      if (!(error instanceof NftError)) throw error;
      if (services.length === 1) {
        refused.set(services[0]![0], error.message);
        return;
      }
      const middle = services.length >> 1;
      await this.#oneByOne(goal, services.slice(0, middle), done, refused);
      await this.#oneByOne(goal, services.slice(middle), done, refused);
    }
  }

  /** What differs of some objects. Chains and affinity maps are left where nobody uses them, for {@link #tidy}. */
  #differences(goal: Goal, objects: Iterable<string>): Change[] {
    const changes: Change[] = [];
    for (const object of new Set(objects)) {
      const from = this.#installed.get(object);
      const to = goal.get(object);
      if (from !== to && !(to === undefined && isStructure(object))) changes.push({ object, from, to });
    }
    return changes;
  }

  /**
   * Makes chains and maps by nft where some are needed, and then changes elements, in one transaction, in which those clients are
   * forgotten whose endpoints go: none of them is sent there any more from then on.
   * @param before what is done first.
   */
  async #bring(goal: Goal, changes: readonly Change[], before = ''): Promise<void> {
    const { structures = [], elements = [] } = Object.groupBy(
      await this.#closeMemories(goal, changes),
      ({ object }) => (isStructure(object) ? 'structures' : 'elements'),
    );
    // Packets that are on their way may still be remembered where nobody is any more.
    const passed = this.#suspects.size > 0 ? packetsPassed() : undefined;
    await this.#apply(before + changeScript(structures), structures);
    await passed;
    const transaction = elementChanges(elements);
    for (let tried = '[]'; ; ) {
      const forgotten = this.#forgotten(goal);
      try {
        await this.#apply([...transaction, ...forgotten.flatMap(forgetting)], elements);
        this.#suspects.clear();
        return;
      } catch (error) {
        // A client's time may have ended in between, and it may have been given another endpoint.
        const again = JSON.stringify(forgotten);
        if (!(error instanceof NftError) || again === tried) throw error;
        tried = again;
      }
    }
  }

  /**
   * Lets no more clients be remembered with endpoints that are about to go, so that it can be looked who is. Those who are still
   * have their endpoint.
   * @returns the changes that are left to be done.
   */
  async #closeMemories(goal: Goal, changes: readonly Change[]): Promise<Change[]> {
    const kept = new Map<string, ReadonlySet<string>>();
    const closing: Change[] = [];
    const rest: Change[] = [];
    for (const change of changes) {
      const { object, from, to } = change;
      const { family, set, key } = splitKey(object);
      if (set !== 'affinity-members' || from === undefined) {
        rest.push(change);
        continue;
      }
      const id = idOfMemoryChain(from.slice('goto '.length));
      const endpoints = entry(kept, `${family} ${id}`, () => goal.stickyEndpointsOf(id, family));
      if (endpoints.has(endpointOfMember(key))) {
        rest.push(change);
        continue;
      }
      for (const memory of Object.values(memoriesOf(id))) this.#suspects.add(`${family} ${memory}`);
      closing.push({ object, from, to: undefined });
      if (to !== undefined) rest.push({ object, from: undefined, to });
    }
    await this.#apply(elementChanges(closing), closing);
    return rest;
  }

  /** The clients of endpoints that are gone. */
  #forgotten(goal: Goal): Forgotten[] {
    return [...this.#suspects].flatMap((suspect) => {
      const [family, memory] = suspect.split(' ') as [Family, string];
      if (!affinityMaps(memory).every((map) => this.#structures.has(`${family} map ${map}`))) return [];
      const endpoints = goal.stickyEndpointsOf(idOfMemory(memory), family);
      const remembered = readMemory(this.#netfilter, family, memory);
      const clients = remembered.filter(({ endpoint }) => !endpoints.has(endpoint));
      return clients.length > 0 ? [{ family, memory, clients }] : [];
    });
  }

  /** Does a transaction, as text for nft or of elements alone, and takes note of the changes that it does. */
  async #apply(transaction: string | readonly NftElementChange[], changes: readonly Change[]): Promise<void> {
    if (transaction.length === 0) return;
    const generation = nftGeneration(this.#netfilter);
    const undisturbed = this.#generation === generation;
    if (typeof transaction === 'string') await this.#nftables.apply(transaction);
    else await changeNftElements(this.#netfilter, transaction);
    for (const { object, to } of changes) {
      if (to === undefined) this.#installed.delete(object);
      else this.#installed.set(object, to);
      if (!isStructure(object)) continue;
      if (to === undefined) this.#structures.delete(object);
      else this.#structures.add(object);
    }
    // One of these transactions is ours. Of any other it is not known what it did.
    const mine = nftGeneration(this.#netfilter) === generation + 1;
    this.#generation = undisturbed && mine ? generation + 1 : undefined;
  }

  async #tidy(goal: Goal, allowed: number): Promise<void> {
    const unused = [...this.#structures].filter((object) => goal.get(object) === undefined);
    if (unused.length <= allowed) return;
    const changes = unused.map((object) => ({ object, from: '', to: undefined }));
    // Refused, they only stay: kernels differ in how soon after its last use a chain may go.
    await this.#apply(tidyScript(unused), changes).catch(() => {});
  }
}

function isStructure(object: string): boolean {
  const { set } = splitKey(object);
  return set === 'chain' || set === 'map';
}

function allOf(goal: Goal): string[] {
  return [...goal.byService()].flatMap(([, objects]) => [...objects]);
}

/** Takes the tables away: for a node on which the proxy does not run any more. Fine where there are none. */
export async function removeServiceTables(ns: NetNamespace): Promise<void> {
  const removal = ['ip', 'ip6'].map(
    (family) => `table ${family} ${TABLE}\ndelete table ${family} ${TABLE}\n`,
  );
  await new Nftables(ns).apply(removal.join(''));
}
