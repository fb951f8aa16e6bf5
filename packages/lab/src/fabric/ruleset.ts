/** An nftables table as data, and the transaction that makes the kernel's table equal to it. See nft(8). */

export type Table = {
  readonly family: 'ip' | 'arp';
  readonly name: string;
  /** Named counters. They keep counting while the rules around them change. */
  readonly counters: readonly string[];
  readonly sets: readonly NamedSet[];
  /** In any order; a chain may jump to any other. */
  readonly chains: readonly Chain[];
};

/** A set, or a map when `value` is given. */
export type NamedSet = {
  readonly name: string;
  /** `ifname`, or a concatenation such as `ifname . ipv4_addr`. */
  readonly key: string;
  /** What a map's key leads to: `verdict`, `mark`, `ipv4_addr`. */
  readonly value?: string;
  /** Elements may be blocks. */
  readonly interval?: boolean;
  /** In nft's syntax: `"eni-1" . 10.0.0.0/24`, `"eni-1" : jump sg-1`. */
  readonly elements: readonly string[];
};

export type Chain = {
  readonly name: string;
  /** `type filter hook forward priority 0; policy drop;`; absent for a chain that is jumped to. */
  readonly hook?: string;
  /** In nft's syntax. */
  readonly rules: readonly string[];
};

/** The names of what a table in the kernel holds. */
export type TableContents = {
  readonly counters: readonly string[];
  readonly sets: readonly string[];
  readonly maps: readonly string[];
  readonly chains: readonly string[];
};

/** What the kernel holds once `table` is applied. */
export function contentsOf(table: Table): TableContents {
  const names = (objects: readonly { name: string }[]) => objects.map(({ name }) => name);
  return {
    counters: table.counters,
    sets: names(table.sets.filter((set) => set.value === undefined)),
    maps: names(table.sets.filter((set) => set.value !== undefined)),
    chains: names(table.chains),
  };
}

/**
 * The nft script that turns what the kernel holds into `table`, to be run as one transaction: packets meet the old
 * rules or the new ones. Counters and connection tracking go on as they were.
 * @param existing what the kernel holds; undefined when it has no such table.
 */
export function transaction(table: Table, existing: TableContents | undefined): string {
  const id = `${table.family} ${table.name}`;
  const wanted = contentsOf(table);
  const gone = (kind: keyof TableContents) => existing![kind].filter((name) => !wanted[kind].includes(name));
  const lines = [`add table ${id}`];
  if (existing) {
    // Rules and elements refer to sets and chains, so they go first.
    lines.push(
      `flush table ${id}`,
      ...existing.maps.map((name) => `flush map ${id} ${name}`),
      ...existing.sets.map((name) => `flush set ${id} ${name}`),
      ...gone('chains').map((name) => `delete chain ${id} ${name}`),
      ...gone('maps').map((name) => `delete map ${id} ${name}`),
      ...gone('sets').map((name) => `delete set ${id} ${name}`),
      ...gone('counters').map((name) => `delete counter ${id} ${name}`),
    );
  }
  for (const name of table.counters) lines.push(`add counter ${id} ${name}`);
  for (const { name, hook } of table.chains)
    lines.push(`add chain ${id} ${name}${hook ? ` { ${hook} }` : ''}`);
  for (const set of table.sets) {
    const type = set.value === undefined ? set.key : `${set.key} : ${set.value}`;
    const flags = set.interval ? ' flags interval;' : '';
    lines.push(`add ${set.value === undefined ? 'set' : 'map'} ${id} ${set.name} { type ${type};${flags} }`);
    if (set.elements.length > 0) lines.push(`add element ${id} ${set.name} { ${set.elements.join(', ')} }`);
  }
  for (const { name, rules } of table.chains) {
    for (const rule of rules) lines.push(`add rule ${id} ${name} ${rule}`);
  }
  return `${lines.join('\n')}\n`;
}
