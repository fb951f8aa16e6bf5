import type { Peers } from './compile.ts';
import type { PortClass } from './port-class.ts';
import { lengthOf, type Prefix } from './prefix.ts';

/** What makes one set of peers another, to be done in this order. */
export type Difference = {
  readonly set: readonly (readonly [Prefix, PortClass])[];
  readonly remove: readonly Prefix[];
};

/**
 * Longest prefixes are set first, then shortest ones removed first. So each address goes from its old class to its new one in one
 * step: until its new longest prefix is set it has the old class, since nothing longer than that is set; if the old longest prefix is
 * longer, it rules until it goes as the last of those around the address.
 */
export function difference(from: Peers, to: Peers): Difference {
  const set = [...to].filter(([prefix, portClass]) => from.get(prefix) !== portClass);
  const remove = [...from.keys()].filter((prefix) => !to.has(prefix));
  return {
    set: byLength(set, ([prefix]) => prefix)
      .reverse()
      .flat(),
    remove: byLength(remove, (prefix) => prefix).flat(),
  };
}

function byLength<T>(items: readonly T[], prefixOf: (item: T) => Prefix): T[][] {
  const lengths = Array.from({ length: 129 }, (): T[] => []);
  for (const item of items) lengths[lengthOf(prefixOf(item))]!.push(item);
  return lengths;
}
