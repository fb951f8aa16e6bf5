import type { Tag, TagSpecification } from '@aws-sdk/client-ec2';
import { Ec2Error, invalidValue, missingParameter } from './errors.ts';
import type { Quotas } from './quotas.ts';
import type { Kind } from './resources.ts';

/**
 * Reads tags of a request.
 * @throws {Ec2Error} for keys that are missing, too long (128), reserved (`aws:`) or given twice; and values over 256.
 */
export function readTags(tags: readonly Tag[] | undefined): Record<string, string> {
  const result: Record<string, string> = {};
  for (const { Key: key, Value: value = '' } of tags ?? []) {
    if (!key) throw missingParameter('Tag.Key');
    if (key.length > 128) throw invalidValue(key, 'Tag.Key', 'A key has at most 128 characters.');
    if (value.length > 256) throw invalidValue(value, 'Tag.Value', 'A value has at most 256 characters.');
    if (key.startsWith('aws:')) {
      throw invalidValue(key, 'Tag.Key', "Tag keys starting with 'aws:' are reserved for internal use.");
    }
    if (Object.hasOwn(result, key)) throw invalidValue(key, 'Tag.Key', 'The key is given twice.');
    result[key] = value;
  }
  return result;
}

/**
 * The tags that a request has for a resource of one kind that it creates.
 * @param creates every kind of resource that the request creates.
 * @throws {Ec2Error} InvalidParameterValue for tags of a kind that is not created; TagLimitExceeded.
 */
export function tagsFor(
  kind: Kind | 'security-group-rule',
  specifications: readonly TagSpecification[] | undefined,
  quotas: Quotas,
  creates: readonly string[] = [kind],
): Record<string, string> {
  const tags: Record<string, string> = {};
  for (const { ResourceType, Tags } of specifications ?? []) {
    if (!ResourceType || !creates.includes(ResourceType)) {
      throw invalidValue(
        ResourceType,
        'TagSpecification.ResourceType',
        `This request creates only: ${creates.join(', ')}.`,
      );
    }
    if (ResourceType === kind) Object.assign(tags, readTags(Tags));
  }
  checkTagCount(tags, quotas);
  return tags;
}

/** @throws {Ec2Error} TagLimitExceeded. */
export function checkTagCount(tags: Readonly<Record<string, string>>, quotas: Quotas): void {
  if (Object.keys(tags).length > quotas.tagsPerResource) {
    throw new Ec2Error(
      'TagLimitExceeded',
      `A resource has at most ${quotas.tagsPerResource} tags: remove some of its tags first.`,
    );
  }
}

/** Tags as EC2 answers them. */
export function tagList(tags: Readonly<Record<string, string>>): Tag[] {
  return Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
}
