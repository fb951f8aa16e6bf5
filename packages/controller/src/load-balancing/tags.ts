import type { Annotations } from './annotations.ts';
import type { Tags } from './model/stack.ts';

/**
 * The tags that an annotation asks for, with those that all resources of the cluster carry, which it cannot change.
 * @throws {InvalidObject} for keys and values that AWS would refuse.
 */
export function readTags(annotations: Annotations, name: string, defaults: Tags): Tags {
  const tags = annotations.map(name);
  for (const [key, value] of Object.entries(tags)) {
    if (/^aws:/i.test(key)) annotations.refuse(name, `has "${key}": keys that begin with aws: are AWS's own`);
    if (key.length > 128 || value.length > 256)
      annotations.refuse(name, `has "${key}": keys are 128 and values 256 characters long at most`);
  }
  return { ...tags, ...defaults };
}
