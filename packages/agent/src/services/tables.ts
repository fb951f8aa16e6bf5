/** The tables of services in the kernel: read once, then changed by differences. */
import { type NetNamespace, Nftables, NftError, nftGeneration } from '@enid/linux';
import { affinityMaps, baseScript, type Family, type LayoutOptions, TABLE } from './layout.ts';
import {
  type Change,
  changeScript,
  concat,
  listedElements,
  listedObjects,
  type Objects,
  splitKey,
  tidyScript,
} from './objects.ts';

/** What the tables should have. */
export interface Goal {
  get(object: string): string | undefined;
  byService(): Iterable<[service: string, objects: Iterable<string>]>;
}

export type Brought = {
  /** What was changed. */
  readonly changes: readonly Change[];
  /** Services whose objects the kernel did not take, with its words. */
  readonly refused: ReadonlyMap<string, string>;
};

/** Chains that nobody uses any more stay until there are this many of them: they cost nothing but their names. */
const UNUSED_CHAINS = 64;
const PURGE_ATTEMPTS = 10;

export class Tables {
  readonly #ns: NetNamespace;
  readonly #nftables: Nftables;
  readonly #families: readonly Family[];
  readonly #layout: LayoutOptions;
  /** What is in the kernel. */
  #installed: Objects = new Map();
  /** The chains and affinity maps among it. */
  #structures = new Set<string>();
  /** The clients in affinity maps when they were last read, by `<family> <map>`. */
  #remembered = new Map<string, Map<string, string>>();
  /** The kernel's count of transactions when that was known; undefined: it has to be read. */
  #generation: number | undefined;

  constructor(ns: NetNamespace, families: readonly Family[], layout: LayoutOptions) {
    this.#ns = ns;
    this.#nftables = new Nftables(ns);
    this.#families = families;
    this.#layout = layout;
  }

  get installed(): ReadonlyMap<string, string> {
    return this.#installed;
  }

  /** Whether nobody has changed any rules of the node since the last change from here. */
  get isKnown(): boolean {
    return this.#generation !== undefined && this.#generation === nftGeneration(this.#ns);
  }

  /** Reads what is installed. */
  async read(): Promise<void> {
    this.#generation = undefined;
    const generation = nftGeneration(this.#ns);
    const installed: Objects = new Map();
    this.#remembered.clear();
    for (const family of this.#families) {
      const listing = (await this.#nftables.list({ family, name: TABLE })) ?? [];
      for (const [object, value] of listedObjects(listing)) installed.set(object, value);
      for (const object of listing) {
        const name = String(object.map?.name);
        if (name.startsWith('affinity/')) this.#remembered.set(`${family} ${name}`, listedElements([object]));
      }
    }
    this.#setInstalled(installed);
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
      await this.#apply(changeScript(changes), changes);
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
      await this.#apply(base + changeScript(changes), changes);
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
    await this.#apply(changeScript(stale), stale).catch(() => {});
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
      await this.#apply(changeScript(changes), changes);
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

  async #apply(script: string, changes: readonly Change[]): Promise<void> {
    if (script === '') return;
    const undisturbed = this.isKnown;
    const generation = nftGeneration(this.#ns);
    await this.#nftables.apply(script);
    for (const { object, to } of changes) {
      if (to === undefined) this.#installed.delete(object);
      else this.#installed.set(object, to);
      if (!isStructure(object)) continue;
      if (to === undefined) this.#structures.delete(object);
      else this.#structures.add(object);
    }
    // One of these transactions is ours. Of any other it is not known what it did.
    const mine = nftGeneration(this.#ns) === generation + 1;
    this.#generation = undisturbed && mine ? generation + 1 : undefined;
  }

  async #tidy(goal: Goal, allowed: number): Promise<void> {
    const unused = [...this.#structures].filter((object) => goal.get(object) === undefined);
    if (unused.length <= allowed) return;
    const changes = unused.map((object) => ({ object, from: '', to: undefined }));
    // Refused, they only stay: kernels differ in how soon after its last use a chain may go.
    await this.#apply(tidyScript(unused), changes).catch(() => {});
  }

  /**
   * Forgets which clients were given endpoints that are gone. To be called when the endpoints are out of the tables: from then on
   * no client is remembered with them.
   */
  async forget(family: Family, id: string, endpoints: ReadonlySet<string>): Promise<void> {
    const maps = affinityMaps(id);
    if (!maps.every((map) => this.#structures.has(`${family} map ${map}`))) return;
    for (let attempt = 1; ; attempt++) {
      const [addresses, ports] = (await Promise.all(maps.map((map) => this.#elements(family, map)))) as [
        Map<string, string>,
        Map<string, string>,
      ];
      const stale = [...addresses].filter(([client, address]) => {
        const port = ports.get(client);
        return port !== undefined && !endpoints.has(concat(address, port));
      });
      if (stale.length === 0) return;
      const script = maps.flatMap((map, index) => {
        const values = [addresses, ports][index]!;
        const clients = stale.map(([client]) => client);
        // Added first, since one that has run out meanwhile could not be deleted, nor could then the others.
        return [
          `add element ${family} ${TABLE} ${map} { ${clients.map((client) => `${client} : ${values.get(client)}`).join(', ')} }`,
          `delete element ${family} ${TABLE} ${map} { ${clients.join(', ')} }`,
        ];
      });
      try {
        return await this.#apply(`${script.join('\n')}\n`, []);
      } catch (error) {
        // A client that was given another endpoint in between.
        if (!(error instanceof NftError) || attempt === PURGE_ATTEMPTS) throw error;
      }
    }
  }

  /** Whether, when the tables were read, clients were remembered with other addresses than these endpoints have. */
  hadOthers(family: Family, id: string, endpoints: ReadonlySet<string>): boolean {
    const addresses = new Set([...endpoints].map((endpoint) => endpoint.split(' ')[0]));
    const clients = this.#remembered.get(`${family} ${affinityMaps(id)[0]}`);
    return clients !== undefined && [...clients.values()].some((address) => !addresses.has(address));
  }

  async #elements(family: Family, map: string): Promise<Map<string, string>> {
    return listedElements((await this.#nftables.list({ family, name: TABLE }, map)) ?? []);
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
