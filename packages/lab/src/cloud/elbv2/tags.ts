import type { Tag } from '@aws-sdk/client-elastic-load-balancing-v2';
import { AwsError } from '../errors.ts';
import type { Quotas } from '../quotas.ts';
import { invalid } from './operation.ts';

/** Whether a request that is sent twice has the tags that its resource has got. */
export function hasTags(
  existing: Readonly<Record<string, string>>,
  given: readonly Tag[] | undefined,
): boolean {
  const tags = given ?? [];
  return (
    tags.length === 0 ||
    (tags.length === Object.keys(existing).length &&
      tags.every(({ Key = '', Value = '' }) => existing[Key] === Value))
  );
}

/**
 * Tags of a request, added to those that there are.
 * @throws {AwsError} DuplicateTagKeys, TooManyTags, ValidationError for keys and values that are too long or reserved.
 */
export function addTags(
  { tagsPerResource }: Quotas,
  existing: Readonly<Record<string, string>>,
  added: readonly Tag[] | undefined,
): Record<string, string> {
  const tags: Record<string, string> = {};
  for (const { Key = '', Value = '' } of added ?? []) {
    if (Key === '' || Key.length > 128) throw invalid(`Tag key '${Key}' must have 1 to 128 characters`);
    if (Value.length > 256) throw invalid(`Tag value '${Value}' must have at most 256 characters`);
    if (Key.startsWith('aws:')) throw invalid(`Tag keys that begin with 'aws:' are reserved: '${Key}'`);
    if (Object.hasOwn(tags, Key)) throw new AwsError('DuplicateTagKeys', 'Tag keys must be unique');
    tags[Key] = Value;
  }
  const all = { ...existing, ...tags };
  if (Object.keys(all).length <= tagsPerResource) return all;
  throw new AwsError('TooManyTags', `A resource has at most ${tagsPerResource} tags`);
}
