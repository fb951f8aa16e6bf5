import { INSTANCE_LIMITS } from '../instance-limits.ts';

/** Types of the table whose names are most like this one: of its family, or of its size, or a letter away. */
export function similarTypes(type: string, count = 5): string[] {
  const [family = '', size] = type.toLowerCase().split('.');
  const score = (candidate: string): number => {
    const [otherFamily = '', otherSize] = candidate.split('.');
    const sizes = size === otherSize ? 0 : Math.min(distance(size ?? '', otherSize ?? ''), 2);
    return Math.min(3 * distance(family, otherFamily) + sizes, 2 * distance(type.toLowerCase(), candidate));
  };
  const scored = [...INSTANCE_LIMITS.keys()].map((name) => [score(name), name] as const);
  return scored
    .filter(([points]) => points <= 8)
    .sort(([a], [b]) => a - b)
    .slice(0, count)
    .map(([, name]) => name);
}

/** Letters to change, add or take away to make one word of the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(changed, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}
