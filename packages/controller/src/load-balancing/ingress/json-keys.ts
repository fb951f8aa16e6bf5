import { z } from 'zod';

/** Deeper than any annotation means anything. */
const DEEPEST = 8;

/**
 * A schema whose keys may be in any case: users write `serviceName` as well as AWS's `TargetGroupArn`.
 * @param keys all of those in the schema, at whatever depth.
 */
export function anyCase<Schema extends z.ZodType>(keys: readonly string[], schema: Schema) {
  const known = new Map(keys.map((key) => [key.toLowerCase(), key]));
  const named = (value: unknown, depth = 0): unknown => {
    if (typeof value !== 'object' || value === null || depth > DEEPEST) return value;
    if (Array.isArray(value)) return value.map((each) => named(each, depth + 1));
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [
        known.get(key.toLowerCase()) ?? key,
        named(each, depth + 1),
      ]),
    );
  };
  return z.preprocess((value) => named(value), schema);
}

/** Text, or a number that stands for it. */
export const textOrNumber = z.union([z.string(), z.number()]).transform(String);
