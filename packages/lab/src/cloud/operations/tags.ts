import type { ResourceType } from '@aws-sdk/client-ec2';
import type { Draft } from 'immer';
import { Ec2Error, missingParameter } from '../errors.ts';
import { matcher, paginate } from '../filters.ts';
import type { Context, Operations } from '../operation.ts';
import { allOf, find, kindOf, kinds } from '../resources.ts';
import type { CloudState } from '../state.ts';
import { checkTagCount, readTags } from '../tags.ts';

type Tagged = { tags: Record<string, string> };

function ruleOf(state: Draft<CloudState>, id: string): Tagged | undefined {
  return Object.values(state.securityGroups)
    .flatMap(({ ingress, egress }) => [...ingress, ...egress])
    .find((rule) => rule.id === id);
}

function taggedOf({ state }: Context, id: string): Tagged {
  const kind = kindOf(id);
  const resource = kind ? find(state, kind, id) : ruleOf(state, id);
  if (resource) return resource;
  throw new Ec2Error('InvalidID', `The ID '${id}' is not valid`);
}

export const operations: Operations = {
  CreateTags({ Resources, Tags }, context) {
    if (Tags.length === 0) throw missingParameter('Tag');
    for (const resource of Resources.map((id) => taggedOf(context, id))) {
      Object.assign(resource.tags, readTags(Tags));
      checkTagCount(resource.tags, context.quotas);
    }
    return {};
  },

  DeleteTags({ Resources, Tags }, context) {
    for (const { tags } of Resources.map((id) => taggedOf(context, id))) {
      // A value restricts the deletion to that value; no tags at all mean all of them.
      for (const { Key, Value } of Tags ?? Object.keys(tags).map((Key) => ({ Key, Value: undefined }))) {
        if (Key !== undefined && (Value === undefined || tags[Key] === Value)) delete tags[Key];
      }
    }
    return {};
  },

  DescribeTags(input, { state }) {
    const all = kinds.flatMap((kind) =>
      Object.entries(allOf(state, kind)).flatMap(([id, { tags }]) =>
        Object.entries(tags).map(([key, value]) => ({ id, kind, key, value, tags: { [key]: value } })),
      ),
    );
    const matches = matcher<(typeof all)[number]>(input.Filters, {
      key: ({ key }) => key,
      value: ({ value }) => value,
      'resource-id': ({ id }) => id,
      'resource-type': ({ kind }) => kind,
    });
    const { items, nextToken } = paginate(
      all.filter(matches).map((tag) => [`${tag.id}/${tag.key}`, tag] as const),
      input,
    );
    return {
      Tags: items.map(({ id, kind, key, value }) => ({
        ResourceId: id,
        ResourceType: kind as ResourceType,
        Key: key,
        Value: value,
      })),
      ...nextToken,
    };
  },
};
