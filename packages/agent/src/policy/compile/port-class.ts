import type { Decision, Protocol } from '../rules.ts';
import type { Line } from './lines.ts';

/** IP's numbers of the protocols that have ports. */
export const PROTOCOLS: Readonly<Record<Protocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

/** A decision for a prefix of (protocol, port): `bits` is 0 for everything, 8 for a protocol, 8 + n for n bits of the port. */
export type PortEntry = {
  readonly protocol: number;
  readonly port: number;
  readonly bits: number;
  readonly decision: Decision;
};

/** What holds for addresses of which the same lines hold: a decision for each protocol and port. */
export type PortClass = { readonly entries: readonly PortEntry[] };

/** What is the same class is the same object. */
export class PortClasses {
  readonly #known = new Map<string, PortClass>();
  readonly #contents = new Map<PortClass, string>();

  intern(entries: readonly PortEntry[]): PortClass {
    const content = entries.map((e) => `${e.protocol}/${e.port}/${e.bits} ${decisionKey(e.decision)}`).join();
    let known = this.#known.get(content);
    if (!known) {
      known = { entries };
      this.#known.set(content, known);
      this.#contents.set(known, content);
    }
    return known;
  }

  forget(one: PortClass): void {
    this.#known.delete(this.#contents.get(one)!);
    this.#contents.delete(one);
  }
}

const keys = new WeakMap<Decision, string>();

/** Equal for decisions that are the same. */
export function decisionKey(decision: Decision): string {
  let key = keys.get(decision);
  if (key === undefined) {
    const { direction, tier, policy, rule } = decision.by;
    key = [decision.verdict, direction, tier, policy?.kind, policy?.namespace, policy?.name, rule].join(' ');
    keys.set(decision, key);
  }
  return key;
}

/**
 * The entries for addresses of which these lines hold.
 * @param lines     in their order, first to decide first.
 * @param otherwise when none decides.
 */
export function portEntries(lines: readonly Line[], otherwise: Decision): PortEntry[] {
  const decisions = new Map<Line, Decision>();
  const decisionOf = (line: Line | undefined) => {
    if (!line) return otherwise;
    let decision = decisions.get(line);
    if (!decision) {
      decision = { verdict: line.action === 'Accept' ? 'allow' : 'deny', by: line.by };
      decisions.set(line, decision);
    }
    return decision;
  };
  const [everything] = decide(
    lines.filter(({ ports }) => !ports).map((line) => ({ line, from: 0, to: 0 })),
    1,
  );
  const base = decisionOf(everything);
  const entries: PortEntry[] = [{ protocol: 0, port: 0, bits: 0, decision: base }];
  for (const [name, protocol] of Object.entries(PROTOCOLS)) {
    const ranges = lines.flatMap((line) =>
      line.ports
        ? line.ports.filter((range) => range.protocol === name).map(({ from, to }) => ({ line, from, to }))
        : [{ line, from: 0, to: 65_535 }],
    );
    if (ranges.every(({ line }) => !line.ports)) continue;
    const starts = [...new Set([0, ...ranges.flatMap(({ from, to }) => [from, to + 1])])]
      .filter((port) => port < 65_536)
      .sort((a, b) => a - b);
    const at = new Map(starts.map((port, i) => [port, i]));
    const end = (port: number) => (at.get(port + 1) ?? starts.length) - 1;
    const decided = decide(
      ranges.map(({ line, from, to }) => ({ line, from: at.get(from)!, to: end(to) })),
      starts.length,
    ).map(decisionOf);
    entries.push(...prefixes(protocol, starts, decided, base));
  }
  return entries;
}

/** Which line decides in each of some places; a tier that is passed by is over there. */
function decide(
  ranges: readonly { readonly line: Line; readonly from: number; readonly to: number }[],
  places: number,
): (Line | undefined)[] {
  const decided = new Array<Line | undefined>(places).fill(undefined);
  // Places at which nothing has been decided in the tier, each with the next one behind it.
  let next = chain(places, () => true);
  let tier = ranges[0]?.line.by.tier;
  for (const { line, from, to } of ranges) {
    if (line.by.tier !== tier) {
      tier = line.by.tier;
      next = chain(places, (place) => decided[place] === undefined);
    }
    for (let place = find(next, from); place <= to; place = find(next, place)) {
      if (line.action !== 'Pass') decided[place] = line;
      next[place] = place + 1;
    }
  }
  return decided;
}

function chain(places: number, isOpen: (place: number) => boolean): Int32Array {
  return Int32Array.from({ length: places + 1 }, (_, i) => (i === places || isOpen(i) ? i : i + 1));
}

function find(next: Int32Array, place: number): number {
  let root = place;
  while (next[root] !== root) root = next[root]!;
  for (let at = place; at !== root; ) {
    const behind = next[at]!;
    next[at] = root;
    at = behind;
  }
  return root;
}

/** What takes the most prefixes is what the protocol has by default. */
function prefixes(
  protocol: number,
  starts: readonly number[],
  decided: readonly Decision[],
  base: Decision,
): PortEntry[] {
  const ranges: { from: number; to: number; decision: Decision }[] = [];
  for (const [i, decision] of decided.entries()) {
    const to = (starts[i + 1] ?? 65_536) - 1;
    const last = ranges.at(-1);
    if (last && decisionKey(last.decision) === decisionKey(decision)) last.to = to;
    else ranges.push({ from: starts[i]!, to, decision });
  }
  const split = new Map<string, { decision: Decision; entries: PortEntry[] }>();
  for (const { from, to, decision } of ranges) {
    const key = decisionKey(decision);
    const found = split.get(key) ?? { decision, entries: [] };
    split.set(key, found);
    for (const { port, bits } of portPrefixes(from, to))
      found.entries.push({ protocol, port, bits: 8 + bits, decision });
  }
  let most = split.get(decisionKey(base)) ?? { decision: base, entries: [] };
  for (const one of split.values()) if (one.entries.length > most.entries.length) most = one;
  const entries = [...split.values()].flatMap((one) => (one === most ? [] : one.entries));
  if (most.decision !== base) entries.push({ protocol, port: 0, bits: 8, decision: most.decision });
  return entries;
}

/** The fewest prefixes that are together the ports `from` to `to`. */
export function portPrefixes(from: number, to: number): { port: number; bits: number }[] {
  const prefixes = [];
  for (let port = from; port <= to; ) {
    let size = port === 0 ? 65_536 : port & -port;
    while (port + size - 1 > to) size /= 2;
    prefixes.push({ port, bits: 16 - Math.log2(size) });
    port += size;
  }
  return prefixes;
}
