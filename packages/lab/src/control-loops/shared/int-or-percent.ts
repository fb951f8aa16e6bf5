/**
 * A number, or a part of a total such as "25%".
 * @throws {Error} when it is neither.
 */
export function intOrPercent(value: number | string, total: number, round: 'up' | 'down'): number {
  if (typeof value === 'number') return value;
  const match = /^(\d+)%$/.exec(value);
  if (!match) throw new Error(`"${value}" is neither a number nor a percentage: write 1 or "25%"`);
  const part = (Number(match[1]) * total) / 100;
  return round === 'up' ? Math.ceil(part) : Math.floor(part);
}
