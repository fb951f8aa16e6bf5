import { type NetNamespace, Nftables, NftError, nftGeneration } from '@enid/linux';
import { contentsOf, type Table, type TableContents, transaction } from './ruleset.ts';

/** The fabric's nftables tables in one namespace. */
export class NamespaceTables {
  readonly #ns: NetNamespace;
  readonly #nft: Nftables;
  /** The script that was applied last, what the kernel holds since, and the ruleset's generation then. */
  #applied: { script: string; contents: Contents; generation: number } | undefined;

  /** @param ns has to stay open. */
  constructor(ns: NetNamespace) {
    this.#ns = ns;
    this.#nft = new Nftables(ns);
  }

  /**
   * Makes the kernel's tables equal to `tables` in one transaction, unless an earlier call did and nobody has
   * touched the namespace's ruleset since.
   * @throws {NftError}
   */
  async ensure(tables: readonly Table[]): Promise<void> {
    if (tables.length === 0) return;
    const script = tables.map((table) => transaction(table, undefined)).join('');
    const before = nftGeneration(this.#ns);
    const known = this.#applied?.generation === before ? this.#applied : undefined;
    if (known?.script === script) return;
    await this.#apply(tables, known?.contents ?? (await this.#contents(tables)));
    // More than one transaction: somebody else's came between, so what there is, is not known.
    const generation = nftGeneration(this.#ns);
    const contents = tables.map(contentsOf);
    this.#applied = generation === before + 1 ? { script, contents, generation } : undefined;
  }

  /** Packets and bytes by named counter of a table; empty when there is no such table. */
  async counters(
    table: Pick<Table, 'family' | 'name'>,
  ): Promise<Map<string, { packets: number; bytes: number }>> {
    const objects = (await this.#nft.list(table)) ?? [];
    return new Map(
      objects.flatMap(({ counter }) => {
        const { name, packets, bytes } = (counter ?? {}) as { name: string; packets: number; bytes: number };
        return counter ? [[name, { packets, bytes }]] : [];
      }),
    );
  }

  async #apply(tables: readonly Table[], existing: Contents): Promise<void> {
    try {
      await this.#nft.apply(tables.map((table, i) => transaction(table, existing[i])).join(''));
    } catch (error) {
      // A chain or set of another type has the name, left by another release: the counters have to go too.
      if (!(error instanceof NftError)) throw error;
      const fresh = tables.map((table, i) => {
        const removal = existing[i] ? `delete table ${table.family} ${table.name}\n` : '';
        return removal + transaction(table, undefined);
      });
      await this.#nft.apply(fresh.join(''));
    }
  }

  /** What the kernel holds, as it says. */
  async #contents(tables: readonly Table[]): Promise<Contents> {
    const listings = await Promise.all(tables.map((table) => this.#nft.list(table)));
    return listings.map((objects) => {
      if (!objects) return undefined;
      const named = (kind: string) =>
        objects.flatMap((object) => (object[kind] ? [String(object[kind].name)] : []));
      return {
        counters: named('counter'),
        sets: named('set'),
        maps: named('map'),
        chains: named('chain'),
      };
    });
  }
}

/** Of each table; undefined for one that there is not. */
type Contents = readonly (TableContents | undefined)[];
