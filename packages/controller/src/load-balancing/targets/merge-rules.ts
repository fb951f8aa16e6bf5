/** The fewest security group rules by which load balancers reach their targets. */
import type { SecurityGroupRule } from '../model/stack.ts';

type PortRange = readonly [from: number, to: number];

/** AWS allows a security group 60 rules by default; with more ranges than this, a peer gets one range around them all. */
const MOST_RANGES = 10;

/** The fewest rules that let in what all of these do: ports that touch are one range. */
export function mergeRules(rules: readonly SecurityGroupRule[]): SecurityGroupRule[] {
  const same = Map.groupBy(rules, ({ protocol, from }) => [protocol, ...Object.values(from)].join(' '));
  return [...same.values()].flatMap((group) => {
    const ranges = joinRanges(group.map(({ ports }) => ports));
    const few: PortRange[] = ranges.length > MOST_RANGES ? [[ranges[0]![0], ranges.at(-1)![1]]] : ranges;
    return few.map((ports) => ({ ...group[0]!, ports }));
  });
}

/** Ranges in order, without overlaps and none that touches another. */
function joinRanges(ranges: readonly PortRange[]): PortRange[] {
  const joined: [number, number][] = [];
  for (const [from, to] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const last = joined.at(-1);
    if (last && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else joined.push([from, to]);
  }
  return joined;
}
