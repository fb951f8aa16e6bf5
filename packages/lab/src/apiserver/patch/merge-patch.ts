/** `application/merge-patch+json` (RFC 7386). */
import { type Fields, isFields } from '../object.ts';

/** Fields of a patch replace those of the object, nulls remove them. @returns the result; both arguments stay. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isFields(patch)) return patch;
  const merged: Map<string, unknown> = new Map(isFields(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name), value));
  }
  return Object.fromEntries(merged) as Fields;
}
