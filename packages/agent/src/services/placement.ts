/** In which slot an endpoint stands. The kernel draws a slot's number; what moves costs an update. Pure. */

/** Slots `from` to `from + count - 1`. */
export type Range = { readonly from: number; readonly count: number };

export type Placement<T> = {
  /** By slot. */
  readonly slots: readonly T[];
  readonly local: Range;
  readonly cluster: Range;
};

/**
 * Places two sets, which may overlap, so that each is one range of slots: what is only in `local`, what is in both, what is
 * only in `cluster`. What can stay where it was stays.
 * @param previous the slots as they were.
 */
export function place<T>(
  local: ReadonlySet<T>,
  cluster: ReadonlySet<T>,
  previous: readonly (T | undefined)[],
): Placement<T> {
  const parts = [
    [...local].filter((item) => !cluster.has(item)),
    [...local].filter((item) => cluster.has(item)),
    [...cluster].filter((item) => !local.has(item)),
  ] as const;
  const before = new Map(previous.map((item, slot) => [item, slot]));
  const slots: T[] = [];
  for (const part of parts) slots.push(...arrange(part, slots.length, before));
  const [onlyLocal, both, onlyCluster] = parts.map(({ length }) => length) as [number, number, number];
  return {
    slots,
    local: { from: 0, count: onlyLocal + both },
    cluster: { from: onlyLocal, count: both + onlyCluster },
  };
}

/** `items` in the slots from `start` on: those that were there keep their slot, the others fill what is free. */
function arrange<T>(items: readonly T[], start: number, before: ReadonlyMap<T | undefined, number>): T[] {
  const placed = new Map<number, T>();
  const movers: T[] = [];
  for (const item of items) {
    const slot = (before.get(item) ?? -1) - start;
    if (slot >= 0 && slot < items.length && !placed.has(slot)) placed.set(slot, item);
    else movers.push(item);
  }
  return items.map((_, slot) => placed.get(slot) ?? movers.pop()!);
}
