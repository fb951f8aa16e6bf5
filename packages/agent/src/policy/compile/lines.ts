import type {
  Action,
  Direction,
  DirectionRules,
  PeerRule,
  PolicyRules,
  PortRange,
  RuleRef,
} from '../rules.ts';
import { covers, type Prefix, prefixOf } from './prefix.ts';

/** What one or many peers of a rule say of the ports: a line of the list in which the first match decides. */
export type Line = {
  readonly action: Action;
  readonly by: RuleRef;
  /** Undefined: all of all protocols. */
  readonly ports: readonly PortRange[] | undefined;
};

/** Where lines hold: a line begins to hold at a prefix, or ends there (`~line`) for a prefix within. */
export type Marks = { readonly prefixes: readonly Prefix[]; readonly lines: readonly number[] };

/** The peers of a policy, digested once. Peers without exceptions that say the same share a line. */
type Digest = Marks & { readonly peers: readonly PeerRule[] };

const digests = new WeakMap<PolicyRules, Digest>();

/** The lines of a direction, first to decide first, and where they hold. */
export function linesOf(rules: DirectionRules, direction: Direction): { lines: Line[]; marks: Marks[] } {
  const found: { line: Line; of: object; index: number; priority: number; name: string }[] = [];
  const add = (tier: 'Admin' | 'NetworkPolicy' | 'Baseline', policies: readonly PolicyRules[]) => {
    for (const policy of policies) {
      const { namespace = '', name } = policy.policy;
      for (const [index, { action, rule, ports }] of digest(policy).peers.entries()) {
        const by: RuleRef = { direction, tier, policy: policy.policy, rule };
        const line = { action, by, ports };
        found.push({
          line,
          of: policy,
          index,
          priority: tier === 'NetworkPolicy' ? 0 : (policy.priority ?? 0),
          name: `${namespace}/${name}`,
        });
      }
    }
  };
  add('Admin', rules.admin);
  if (rules.networkPolicies.length > 0) add('NetworkPolicy', rules.networkPolicies);
  else add('Baseline', rules.baseline);
  found.sort(
    (a, b) =>
      TIERS.indexOf(a.line.by.tier) - TIERS.indexOf(b.line.by.tier) ||
      a.priority - b.priority ||
      (a.name < b.name ? -1 : a.name > b.name ? 1 : 0) ||
      a.line.by.rule! - b.line.by.rule!,
  );
  const always: Line = { action: 'Accept', by: { direction, tier: 'Always' }, ports: undefined };
  const numbers = new Map<object, number[]>();
  for (const [i, { of, index }] of found.entries()) {
    const places = numbers.get(of) ?? [];
    numbers.set(of, places);
    places[index] = i + 1;
  }
  const marks: Marks[] = [{ prefixes: rules.always.map(prefixOf), lines: rules.always.map(() => 0) }];
  for (const [policy, places] of numbers) {
    const { prefixes, lines } = digest(policy as PolicyRules);
    marks.push({ prefixes, lines: lines.map((line) => (line < 0 ? ~places[~line]! : places[line]!)) });
  }
  return { lines: [always, ...found.map(({ line }) => line)], marks };
}

const TIERS: readonly RuleRef['tier'][] = ['Always', 'Admin', 'NetworkPolicy', 'Baseline'];

/** Reads the addresses of a policy, if that has not been done before. */
export function digest(policy: PolicyRules): Digest {
  let known = digests.get(policy);
  if (known) return known;
  const peers: PeerRule[] = [];
  const prefixes: Prefix[] = [];
  const lines: number[] = [];
  const shared = new Map<string, number>();
  const texts = new Map<PeerRule['ports'], string>();
  for (const peer of policy.peers) {
    const { rule, action, cidr, except = [], ports } = peer;
    const prefix = prefixOf(cidr);
    const exceptions = except.map(prefixOf);
    if (ports?.length === 0 || exceptions.some((exception) => covers(exception, prefix))) continue;
    let text = texts.get(ports);
    if (text === undefined) {
      text = ports ? ports.map(({ protocol, from, to }) => `${protocol} ${from}-${to}`).join() : 'all';
      texts.set(ports, text);
    }
    const key = `${rule} ${action} ${text}`;
    // What ends somewhere holds by itself: another peer of the same rule may go on holding there.
    let line = exceptions.length > 0 ? undefined : shared.get(key);
    if (line === undefined) {
      line = peers.push(peer) - 1;
      if (exceptions.length === 0) shared.set(key, line);
    }
    prefixes.push(prefix, ...exceptions);
    lines.push(line, ...exceptions.map(() => ~line));
  }
  known = { peers, prefixes, lines };
  digests.set(policy, known);
  return known;
}
