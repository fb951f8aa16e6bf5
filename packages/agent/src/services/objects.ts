/**
 * What is in the tables, as text that can be compared: elements of sets, chains and maps, each by its key. From the
 * kernel's listing, and to nft's language. Pure.
 */
import { type Ip, parseIp } from '@enid/ip';
import type { NftObject } from '@enid/linux';
import { affinityDeclaration, BASE_CHAINS, type Family, PROTOCOL_NUMBERS, SETS, TABLE } from './layout.ts';

/**
 * Key: `<family> <set> <element's key>`; value: what a map has there, '' in a set. The set `chain` has chains by name,
 * with their rules; the set `map` has affinity maps by name.
 */
export type Objects = Map<string, string>;

export type Address = { family: Family; set: string; key: string };

export function objectKey({ family, set, key }: Address): string {
  return `${family} ${set} ${key}`;
}

export function splitKey(object: string): Address {
  const first = object.indexOf(' ');
  const second = object.indexOf(' ', first + 1);
  return {
    family: object.slice(0, first) as Family,
    set: object.slice(first + 1, second),
    key: object.slice(second + 1),
  };
}

/** Several parts as one key or value of an element. */
export function concat(...parts: readonly (string | number)[]): string {
  return parts.join(' . ');
}

/** The difference from one state to another. */
export type Change = {
  readonly object: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
};

/**
 * A transaction that does the changes. Chains and affinity maps are made and changed, and not taken away: see {@link tidyScript}.
 * @returns '' when there is nothing to do.
 */
export function changeScript(changes: readonly Change[]): string {
  const maps: string[] = [];
  const chains: string[] = [];
  const rules: string[] = [];
  const removed = new Map<string, string[]>();
  const added = new Map<string, string[]>();
  for (const { object, from, to } of changes) {
    const { family, set, key } = splitKey(object);
    const table = `${family} ${TABLE}`;
    if (set === 'map') {
      if (to !== undefined) maps.push(`add map ${table} ${key} ${affinityDeclaration(family, key)}`);
    } else if (set === 'chain') {
      if (to === undefined) continue;
      chains.push(`add chain ${table} ${key}`, `flush chain ${table} ${key}`);
      for (const rule of to.split('\n')) rules.push(`add rule ${table} ${key} ${rule}`);
    } else {
      if (from !== undefined) entry(removed, `${table} ${set}`, () => []).push(key);
      if (to !== undefined)
        entry(added, `${table} ${set}`, () => []).push(to === '' ? key : `${key} : ${to}`);
    }
  }
  const commands = [
    ...maps,
    ...chains,
    ...rules,
    ...[...removed].map(([set, elements]) => `delete element ${set} { ${elements.join(', ')} }`),
    ...[...added].map(([set, elements]) => `add element ${set} { ${elements.join(', ')} }`),
  ];
  return commands.length > 0 ? `${commands.join('\n')}\n` : '';
}

/** A transaction that takes away chains and affinity maps that nothing leads to. */
export function tidyScript(objects: readonly string[]): string {
  const commands = { flush: [] as string[], chains: [] as string[], maps: [] as string[] };
  for (const { family, set, key } of objects.map(splitKey)) {
    if (set === 'map') commands.maps.push(`delete map ${family} ${TABLE} ${key}`);
    if (set !== 'chain') continue;
    commands.flush.push(`flush chain ${family} ${TABLE} ${key}`);
    commands.chains.push(`delete chain ${family} ${TABLE} ${key}`);
  }
  return `${[...commands.flush, ...commands.chains, ...commands.maps].join('\n')}\n`;
}

/** What no listing tells of a chain: it has to be written again. */
export const UNKNOWN_RULES = '?';

type Listed = { family: Family; name: string; elem?: unknown[] };

/** The objects of a table as the kernel lists them. Of chains it is told that they are there. */
export function listedObjects(listing: readonly NftObject[]): Objects {
  const objects: Objects = new Map();
  for (const object of listing) {
    const listed = (object.map ?? object.set ?? object.chain) as Listed | undefined;
    if (!listed) continue;
    const { family, name, elem = [] } = listed;
    if (object.chain) {
      if (!BASE_CHAINS.has(name)) objects.set(objectKey({ family, set: 'chain', key: name }), UNKNOWN_RULES);
    } else if (SETS.includes(name)) {
      for (const element of elem) {
        const [key, value] = object.map ? (element as [unknown, unknown]) : [element, ''];
        const parts = WITH_PROTOCOL.includes(name) ? withProtocol(key) : key;
        objects.set(objectKey({ family, set: name, key: text(parts) }), text(value));
      }
    } else if (/^affinity(-port)?\//.test(name)) {
      objects.set(objectKey({ family, set: 'map', key: name }), '');
    }
  }
  return objects;
}

/** Sets whose keys have a protocol. */
const WITH_PROTOCOL = ['frontends', 'affinity-members', 'source-ranges'];
const PROTOCOL_NAMES = new Map(Object.entries(PROTOCOL_NUMBERS).map(([name, number]) => [number, name]));

/** An expression of libnftables-json(5) in nft's own language, as this module writes it. */
function text(expression: unknown): string {
  if (typeof expression === 'string') return expression.includes(':') ? canonical(expression) : expression;
  if (typeof expression === 'number') return String(expression);
  const [[kind, value]] = Object.entries(expression as object) as [[string, never]];
  switch (kind) {
    case 'concat':
      return concat(...(value as unknown[]).map(text));
    case 'prefix':
      return `${text((value as { addr: string }).addr)}/${(value as { len: number }).len}`;
    case 'goto':
      return `goto ${(value as { target: string }).target}`;
    case 'elem':
      return text((value as { val: unknown }).val);
    default:
      return kind; // A verdict without a target: drop.
  }
}

/** A key whose second part is a protocol by its name. Where there is no /etc/protocols, nft lists its number. */
function withProtocol(key: unknown): unknown {
  const parts = (key as { concat?: unknown[] }).concat ?? [];
  const name = PROTOCOL_NAMES.get(parts[1] as number);
  return name ? { concat: parts.with(1, name) } : key;
}

function canonical(address: string): string {
  try {
    return parseIp(address) as Ip;
  } catch {
    return address;
  }
}

/** A map's value, made when it is not there. */
export function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const value = make();
  map.set(key, value);
  return value;
}
