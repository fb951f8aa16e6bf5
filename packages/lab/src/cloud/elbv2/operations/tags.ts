import type { Draft } from 'immer';
import { AwsError } from '../../errors.ts';
import type { CloudState } from '../../state.ts';
import { invalid, type Operations } from '../operation.ts';
import { find } from '../resources.ts';
import { addTags } from '../tags.ts';

/** The kinds of resources, by what follows the account in their ARNs. */
const KINDS = {
  loadbalancer: 'loadBalancer',
  listener: 'listener',
  'listener-rule': 'rule',
  targetgroup: 'targetGroup',
} as const;

const MOST = 20;

function taggedOf(state: Draft<CloudState>, arn: string): { tags: Record<string, string> } {
  const name = arn.split(':')[5]?.split('/')[0] ?? '';
  if (!arn.startsWith('arn:') || !Object.hasOwn(KINDS, name)) throw invalid(`'${arn}' is not a valid ARN`);
  return find(state, KINDS[name as keyof typeof KINDS], arn);
}

function checkCount(arns: readonly string[]): void {
  if (arns.length === 0) throw invalid('At least one resource ARN must be specified');
  if (arns.length > MOST) throw invalid(`Up to ${MOST} resource ARNs can be specified`);
}

export const operations: Operations = {
  AddTags({ ResourceArns, Tags }, { state, quotas }) {
    checkCount(ResourceArns);
    if (Tags.length === 0) throw invalid('At least one tag must be specified');
    for (const resource of ResourceArns.map((arn) => taggedOf(state, arn))) {
      resource.tags = addTags(quotas, resource.tags, Tags);
    }
    return {};
  },

  RemoveTags({ ResourceArns, TagKeys }, { state }) {
    checkCount(ResourceArns);
    for (const { tags } of ResourceArns.map((arn) => taggedOf(state, arn))) {
      for (const key of TagKeys) delete tags[key];
    }
    return {};
  },

  DescribeTags({ ResourceArns }, { state }) {
    checkCount(ResourceArns);
    if (new Set(ResourceArns).size < ResourceArns.length) {
      throw new AwsError('ValidationError', 'Resource ARNs must be unique');
    }
    return {
      TagDescriptions: ResourceArns.map((ResourceArn) => ({
        ResourceArn,
        Tags: Object.entries(taggedOf(state, ResourceArn).tags).map(([Key, Value]) => ({ Key, Value })),
      })),
    };
  },
};
