import type { Tags } from '../model/stack.ts';
import { missing, unwanted } from './canonical.ts';
import type { Change, Tagged } from './changes.ts';

type Resource = { readonly id: string; readonly wanted: Tags; readonly found: Tags };

/**
 * Gives resources of a kind the tags that they should have and no others, those with the same difference together.
 * @param external keys that are neither changed nor taken away.
 */
export function* retag(
  kind: Tagged['kind'],
  resources: readonly Resource[],
  external: readonly string[] = [],
): Generator<Change> {
  const isOurs = (key: string) => !external.includes(key);
  const added = Map.groupBy(resources, ({ wanted, found }) =>
    JSON.stringify(
      Object.entries(missing(wanted, found))
        .filter(([key]) => isOurs(key))
        .sort(),
    ),
  );
  for (const [difference, same] of added) {
    const tags: Tags = Object.fromEntries(JSON.parse(difference));
    if (Object.keys(tags).length > 0)
      yield { call: 'AddTags', to: { kind, ids: same.map(({ id }) => id) }, tags };
  }
  const removed = Map.groupBy(resources, ({ wanted, found }) =>
    JSON.stringify(unwanted(wanted, found).filter(isOurs).sort()),
  );
  for (const [difference, same] of removed) {
    const keys: string[] = JSON.parse(difference);
    if (keys.length > 0) yield { call: 'RemoveTags', from: { kind, ids: same.map(({ id }) => id) }, keys };
  }
}
