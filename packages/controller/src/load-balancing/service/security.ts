/** The security groups of a load balancer: one that lets clients in, and one that targets know it by. */
import type { Ipv4Cidr } from '@enid/ip';
import { readCidrs } from '../cidrs.ts';
import type { AccountLoadBalancer } from '../model/account.ts';
import { resourceName } from '../model/identity.ts';
import type { SecurityGroupRef, SecurityGroupRule, SecurityGroupSpec } from '../model/stack.ts';
import { resolveSecurityGroups } from '../security-groups.ts';
import { type Frontend, transportsOf } from './frontends.ts';
import type { Reading } from './reading.ts';

export const EVERYBODY = '0.0.0.0/0' as Ipv4Cidr;

export type Security = {
  readonly groups: readonly SecurityGroupRef[];
  /** The front end's group, when it is ours. */
  readonly managed?: SecurityGroupSpec;
  /** Whether we open the targets' groups for the load balancer. */
  readonly opensTargets: boolean;
};

/**
 * The user's groups, or one of ours; with the cluster's back-end group wherever we open targets for it. None for a load
 * balancer that is to have none, or was made without: AWS lets it have none ever after.
 */
export async function readSecurity(
  reading: Reading,
  frontends: readonly Frontend[],
  present: AccountLoadBalancer | undefined,
): Promise<Security> {
  const { annotations, world } = reading;
  const named = annotations.named('security-groups');
  const managesTargets = annotations.flag('manage-backend-security-group-rules');
  if (annotations.flag('disable-nlb-sg') && named.names.length > 0)
    annotations.refuse(
      'disable-nlb-sg',
      `is true, and ${named.source} names security groups: leave one of them out`,
    );
  if (annotations.flag('disable-nlb-sg') || present?.securityGroupIds.length === 0)
    return { groups: [], opensTargets: managesTargets ?? true };

  const chosen = await resolveSecurityGroups(world.account, named);
  const opensTargets = managesTargets ?? chosen.length === 0;
  const backend = opensTargets ? [{ backend: true } as const] : [];
  if (chosen.length > 0) return { groups: [...chosen.map((id) => ({ id })), ...backend], opensTargets };
  return {
    groups: [{ managed: true }, ...backend],
    managed: managedGroup(reading, frontends),
    opensTargets,
  };
}

function managedGroup(reading: Reading, frontends: readonly Frontend[]): SecurityGroupSpec {
  const { annotations, namespace, name, uid, tags, world } = reading;
  const { clusterName } = world.defaults;
  const prefixLists = annotations.list('security-group-prefix-lists');
  for (const id of prefixLists) {
    if (!/^pl-\w+$/.test(id))
      annotations.refuse(
        'security-group-prefix-lists',
        `has "${id}": it may have ids such as pl-0123456789abcdef0`,
      );
  }
  const ranges = readCidrs(reading.sourceRanges);
  const cidrs = ranges.length === 0 && prefixLists.length === 0 ? [EVERYBODY] : ranges;
  const sources: SecurityGroupRule['from'][] = [
    ...cidrs.map((cidr) => ({ cidr })),
    ...prefixLists.map((prefixListId) => ({ prefixListId })),
  ];
  const opened: Pick<SecurityGroupRule, 'protocol' | 'ports'>[] = frontends.flatMap(({ port, protocol }) =>
    transportsOf(protocol).map((transport) => ({
      protocol: transport === 'TCP' ? 'tcp' : 'udp',
      ports: [port, port] as const,
    })),
  );
  // Fragmentation needed: by it a sender learns of a smaller MTU on the way.
  if (annotations.oneOf('enable-icmp-for-path-mtu-discovery', ['on', 'off']) === 'on')
    opened.push({ protocol: 'icmp', ports: [3, 4] });
  return {
    name: resourceName({ namespace, name }, [clusterName, name, namespace, uid]),
    description: '[k8s] Managed SecurityGroup for LoadBalancer',
    ingress: opened.flatMap((rule) => sources.map((from) => ({ ...rule, from }))),
    tags,
  };
}
