/** All there is of a stack, from what the inventory has of it. */
import {
  DescribeListenerAttributesCommand,
  DescribeLoadBalancerAttributesCommand,
  DescribeTargetGroupAttributesCommand,
  type ElasticLoadBalancingV2Client,
  type Listener,
  type LoadBalancer,
  paginateDescribeListenerCertificates,
  paginateDescribeListeners,
  paginateDescribeRules,
  type Rule,
  type TargetGroup,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { tagKeys } from '../model/identity.ts';
import type { Tags } from '../model/stack.ts';
import {
  type Existing,
  type ExistingListener,
  type ExistingLoadBalancer,
  type ExistingTargetGroup,
  nothing,
} from './existing.ts';
import { type InventoryItem, tagsOf } from './inventory.ts';
import { fromListener, fromLoadBalancer, fromRule, fromTargetGroup, mapOf } from './words.ts';

/** @param item nothing: the account has nothing of the stack, and is not asked. */
export async function readExisting(
  elb: ElasticLoadBalancingV2Client,
  item: InventoryItem | undefined,
): Promise<Existing> {
  if (!item) return nothing();
  const { resource } = tagKeys(item.id);
  return {
    ...nothing(),
    securityGroups: item.securityGroups.map((group) => ({ ...group })),
    loadBalancers: await eachThere(item.loadBalancers, ({ described, tags }) =>
      readLoadBalancer(elb, described, tags),
    ),
    targetGroups: await eachThere(item.targetGroups, ({ described, tags }) =>
      readTargetGroup(elb, described, tags[resource]!, tags),
    ),
  };
}

/** Leaves out what is gone meanwhile. */
async function eachThere<Item, Result>(
  items: readonly Item[],
  read: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const item of items) {
    try {
      results.push(await read(item));
    } catch (error) {
      if (!/NotFound/.test((error as Error).name)) throw error;
    }
  }
  return results;
}

async function readTargetGroup(
  elb: ElasticLoadBalancingV2Client,
  described: TargetGroup,
  id: string,
  tags: Tags,
): Promise<ExistingTargetGroup> {
  const { TargetGroupArn } = described;
  const { Attributes } = await elb.send(new DescribeTargetGroupAttributesCommand({ TargetGroupArn }));
  return fromTargetGroup(described, id, tags, mapOf(Attributes));
}

async function readLoadBalancer(
  elb: ElasticLoadBalancingV2Client,
  described: LoadBalancer,
  own: Tags,
): Promise<ExistingLoadBalancer> {
  const { LoadBalancerArn } = described;
  const { Attributes } = await elb.send(new DescribeLoadBalancerAttributesCommand({ LoadBalancerArn }));
  const listeners: Listener[] = [];
  for await (const page of paginateDescribeListeners({ client: elb }, { LoadBalancerArn }))
    listeners.push(...(page.Listeners ?? []));
  const rules = new Map<string, Rule[]>();
  if (described.Type === 'application') {
    for (const { ListenerArn } of listeners) {
      const found: Rule[] = [];
      for await (const page of paginateDescribeRules({ client: elb }, { ListenerArn }))
        found.push(...(page.Rules ?? []).filter(({ IsDefault }) => !IsDefault));
      rules.set(ListenerArn!, found);
    }
  }
  const tags = await tagsOf(elb, [
    ...listeners.map(({ ListenerArn }) => ListenerArn!),
    ...[...rules.values()].flat().map(({ RuleArn }) => RuleArn!),
  ]);
  return fromLoadBalancer(described, own, {
    attributes: mapOf(Attributes),
    listeners: await eachThere(listeners, (listener) =>
      readListener(elb, listener, rules.get(listener.ListenerArn!) ?? [], tags),
    ),
  });
}

async function readListener(
  elb: ElasticLoadBalancingV2Client,
  described: Listener,
  rules: readonly Rule[],
  tags: ReadonlyMap<string, Tags>,
): Promise<ExistingListener> {
  const ListenerArn = described.ListenerArn!;
  const certificates: string[] = [];
  if (described.Certificates?.length) {
    for await (const page of paginateDescribeListenerCertificates({ client: elb }, { ListenerArn }))
      certificates.push(
        ...(page.Certificates ?? []).flatMap(({ CertificateArn, IsDefault }) =>
          IsDefault || !CertificateArn ? [] : [CertificateArn],
        ),
      );
  }
  const { Attributes } = await elb.send(new DescribeListenerAttributesCommand({ ListenerArn }));
  return fromListener(described, tags.get(ListenerArn) ?? {}, certificates, {
    attributes: mapOf(Attributes),
    rules: rules.map((rule) => fromRule(rule, tags.get(rule.RuleArn!) ?? {})),
  });
}
