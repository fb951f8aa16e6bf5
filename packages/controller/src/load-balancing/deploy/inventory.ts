/** Everything of a cluster in an account, by whose it is: found by tags, and so after every restart. */
import { type EC2Client, paginateDescribeSecurityGroups } from '@aws-sdk/client-ec2';
import {
  DescribeTagsCommand,
  type ElasticLoadBalancingV2Client,
  type LoadBalancer,
  paginateDescribeLoadBalancers,
  paginateDescribeTargetGroups,
  type TargetGroup,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { ingressRulesOf } from '../aws/ingress-rules.ts';
import { BACKEND_SECURITY_GROUP, CLUSTER_TAG, SHARED_TAG } from '../model/identity.ts';
import type { StackId, Tags } from '../model/stack.ts';
import { type ExistingSecurityGroup, stackKey, stackOfTags } from './existing.ts';
import { mapOf } from './words.ts';

export type InventoryItem = {
  readonly id: StackId;
  readonly loadBalancers: { readonly described: LoadBalancer; readonly tags: Tags }[];
  readonly targetGroups: { readonly described: TargetGroup; readonly tags: Tags }[];
  readonly securityGroups: ExistingSecurityGroup[];
};

export type Inventory = {
  /** By {@link stackKey}. */
  readonly stacks: ReadonlyMap<string, InventoryItem>;
  readonly backendSecurityGroup?: string;
};

export type InventoryOptions = {
  readonly elb: ElasticLoadBalancingV2Client;
  readonly ec2: EC2Client;
  readonly vpcId: string;
  readonly clusterName: string;
};

/** DescribeTags takes so many resources a call. */
const BATCH = 20;

/** Tags of resources of ELBv2 by ARN; those of what is gone meanwhile are left out. */
export async function tagsOf(
  elb: ElasticLoadBalancingV2Client,
  arns: readonly string[],
): Promise<Map<string, Tags>> {
  const tags = new Map<string, Tags>();
  const read = async (batch: string[]): Promise<void> => {
    try {
      const { TagDescriptions = [] } = await elb.send(new DescribeTagsCommand({ ResourceArns: batch }));
      for (const { ResourceArn = '', Tags } of TagDescriptions) tags.set(ResourceArn, mapOf(Tags));
    } catch (error) {
      if (!/NotFound/.test((error as Error).name)) throw error;
      // AWS refuses all of a call for one of it that is gone.
      if (batch.length > 1) for (const arn of batch) await read([arn]);
    }
  };
  for (let i = 0; i < arns.length; i += BATCH) await read(arns.slice(i, i + BATCH));
  return tags;
}

/** Reads it: load balancers and target groups of the account, with their tags, and security groups by their tags. */
export async function readInventory({ elb, ec2, vpcId, clusterName }: InventoryOptions): Promise<Inventory> {
  const stacks = new Map<string, InventoryItem>();
  const itemOf = (tags: Tags | undefined): InventoryItem | undefined => {
    const id = tags && stackOfTags(clusterName, tags);
    if (!id) return undefined;
    const key = stackKey(id);
    const item = stacks.get(key) ?? { id, loadBalancers: [], targetGroups: [], securityGroups: [] };
    stacks.set(key, item);
    return item;
  };
  const loadBalancers: LoadBalancer[] = [];
  for await (const page of paginateDescribeLoadBalancers({ client: elb }, {}))
    loadBalancers.push(...(page.LoadBalancers ?? []).filter(({ VpcId }) => VpcId === vpcId));
  const targetGroups: TargetGroup[] = [];
  for await (const page of paginateDescribeTargetGroups({ client: elb }, {}))
    targetGroups.push(...(page.TargetGroups ?? []).filter(({ VpcId }) => VpcId === vpcId));
  const tags = await tagsOf(elb, [
    ...loadBalancers.map(({ LoadBalancerArn }) => LoadBalancerArn!),
    ...targetGroups.map(({ TargetGroupArn }) => TargetGroupArn!),
  ]);
  for (const described of loadBalancers) {
    const own = tags.get(described.LoadBalancerArn!);
    itemOf(own)?.loadBalancers.push({ described, tags: own! });
  }
  for (const described of targetGroups) {
    const own = tags.get(described.TargetGroupArn!);
    itemOf(own)?.targetGroups.push({ described, tags: own! });
  }
  let backendSecurityGroup: string | undefined;
  const Filters = [
    { Name: `tag:${CLUSTER_TAG}`, Values: [clusterName] },
    { Name: 'vpc-id', Values: [vpcId] },
  ];
  for await (const page of paginateDescribeSecurityGroups({ client: ec2 }, { Filters })) {
    for (const group of page.SecurityGroups ?? []) {
      const own = mapOf(group.Tags);
      if (own[SHARED_TAG] === BACKEND_SECURITY_GROUP) backendSecurityGroup = group.GroupId!;
      itemOf(own)?.securityGroups.push({
        id: group.GroupId!,
        name: group.GroupName ?? '',
        ingress: ingressRulesOf(group),
        tags: own,
      });
    }
  }
  return { stacks, ...(backendSecurityGroup && { backendSecurityGroup }) };
}
