/** The ingress rules of security groups, one by one: EC2 groups them by protocol and ports into permissions. */
import {
  AuthorizeSecurityGroupIngressCommand,
  type EC2Client,
  type IpPermission,
  RevokeSecurityGroupIngressCommand,
  type SecurityGroup,
} from '@aws-sdk/client-ec2';
import type { SecurityGroupRule } from '../model/stack.ts';

/** What tells rules apart: EC2 refuses a second rule that differs in its description alone. */
export function ingressRuleKey({ protocol, ports, from }: SecurityGroupRule): string {
  return [protocol, ...(protocol === '-1' ? [] : ports), ...Object.values(from)].join(' ');
}

/** The rules of a group, as DescribeSecurityGroups tells them. */
export function ingressRulesOf({ IpPermissions = [] }: SecurityGroup): SecurityGroupRule[] {
  return IpPermissions.flatMap(
    ({ IpProtocol, FromPort = -1, ToPort = -1, IpRanges, Ipv6Ranges, UserIdGroupPairs, PrefixListIds }) => {
      const rule = (from: SecurityGroupRule['from'], description: string | undefined): SecurityGroupRule => ({
        protocol: IpProtocol as SecurityGroupRule['protocol'],
        ports: [FromPort, ToPort],
        from,
        ...(description && { description }),
      });
      return [
        ...(IpRanges ?? []).map(({ CidrIp, Description }) => rule({ cidr: CidrIp! }, Description)),
        ...(Ipv6Ranges ?? []).map(({ CidrIpv6, Description }) => rule({ cidr: CidrIpv6! }, Description)),
        ...(UserIdGroupPairs ?? []).map(({ GroupId, Description }) =>
          rule({ groupId: GroupId! }, Description),
        ),
        ...(PrefixListIds ?? []).map(({ PrefixListId, Description }) =>
          rule({ prefixListId: PrefixListId! }, Description),
        ),
      ];
    },
  );
}

function permissionOf({
  protocol,
  ports: [from, to],
  from: peer,
  description,
}: SecurityGroupRule): IpPermission {
  const more = description ? { Description: description } : {};
  return {
    IpProtocol: protocol,
    ...(protocol !== '-1' && { FromPort: from, ToPort: to }),
    ...('groupId' in peer && { UserIdGroupPairs: [{ GroupId: peer.groupId, ...more }] }),
    ...('prefixListId' in peer && { PrefixListIds: [{ PrefixListId: peer.prefixListId, ...more }] }),
    ...('cidr' in peer &&
      (peer.cidr.includes(':')
        ? { Ipv6Ranges: [{ CidrIpv6: peer.cidr, ...more }] }
        : { IpRanges: [{ CidrIp: peer.cidr, ...more }] })),
  };
}

/** Lets peers in, by one call. @throws what the SDK throws, such as RulesPerSecurityGroupLimitExceeded. */
export async function authorizeIngress(
  ec2: EC2Client,
  GroupId: string,
  rules: readonly SecurityGroupRule[],
): Promise<void> {
  if (rules.length === 0) return;
  const IpPermissions = rules.map(permissionOf);
  await ec2.send(new AuthorizeSecurityGroupIngressCommand({ GroupId, IpPermissions }));
}

/** Takes rules away, by one call. A rule that is not there, or a group, is one less to take away. */
export async function revokeIngress(
  ec2: EC2Client,
  GroupId: string,
  rules: readonly SecurityGroupRule[],
): Promise<void> {
  if (rules.length === 0) return;
  const IpPermissions = rules.map(permissionOf);
  try {
    await ec2.send(new RevokeSecurityGroupIngressCommand({ GroupId, IpPermissions }));
  } catch (error) {
    const { name } = error as Error;
    if (name !== 'InvalidPermission.NotFound' && name !== 'InvalidGroup.NotFound') throw error;
    // EC2 refuses all of a call for one rule that is gone.
    if (name === 'InvalidPermission.NotFound' && rules.length > 1)
      for (const rule of rules) await revokeIngress(ec2, GroupId, [rule]);
  }
}
