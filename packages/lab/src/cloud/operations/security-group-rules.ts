/** Changes of security group rules that stay the rules that they are. */
import type { IpPermission, SecurityGroupRuleDescription } from '@aws-sdk/client-ec2';
import type { Draft } from 'immer';
import { Ec2Error, missingParameter } from '../errors.ts';
import type { Context, Operations } from '../operation.ts';
import type { SecurityGroup, SecurityGroupRule } from '../state.ts';
import { type Direction, groupOf, identity, inWords, readPermissions } from './security-groups.ts';

const DIRECTIONS = ['ingress', 'egress'] as const;

function ruleOf(group: Draft<SecurityGroup>, id: string): [Direction, Draft<SecurityGroupRule>] {
  for (const direction of DIRECTIONS) {
    const rule = group[direction].find((other) => other.id === id);
    if (rule) return [direction, rule];
  }
  throw new Ec2Error(
    'InvalidSecurityGroupRuleId.NotFound',
    `The security group rule ID '${id}' does not exist`,
  );
}

function describe(rule: Draft<SecurityGroupRule>, description: string | undefined): void {
  if (description) rule.description = description;
  else delete rule.description;
}

/** Rules are named by what they allow, with the new description in it, or by their ids. */
function updateDescriptions(
  context: Context,
  input: {
    GroupId?: string | undefined;
    IpPermissions?: IpPermission[] | undefined;
    SecurityGroupRuleDescriptions?: SecurityGroupRuleDescription[] | undefined;
  },
  direction: Direction,
) {
  const group = groupOf(context, input.GroupId);
  const named = readPermissions(context, group, input.IpPermissions ?? []);
  const byId = input.SecurityGroupRuleDescriptions ?? [];
  if (named.length + byId.length === 0) throw missingParameter('IpPermissions');
  for (const wanted of named) {
    const rule = group[direction].find((other) => identity(other) === identity(wanted));
    if (!rule) {
      throw new Ec2Error(
        'InvalidPermission.NotFound',
        `The specified rule does not exist in this security group: "${inWords(wanted)}"`,
      );
    }
    describe(rule, wanted.description);
  }
  for (const { SecurityGroupRuleId = '', Description } of byId) {
    describe(ruleOf(group, SecurityGroupRuleId)[1], Description);
  }
  return { Return: true };
}

export const operations: Operations = {
  UpdateSecurityGroupRuleDescriptionsIngress: (input, context) =>
    updateDescriptions(context, input, 'ingress'),

  UpdateSecurityGroupRuleDescriptionsEgress: (input, context) => updateDescriptions(context, input, 'egress'),

  ModifySecurityGroupRules({ GroupId, SecurityGroupRules }, context) {
    const group = groupOf(context, GroupId);
    for (const { SecurityGroupRuleId, SecurityGroupRule: to } of SecurityGroupRules) {
      if (!to) throw missingParameter('SecurityGroupRule');
      const [direction, rule] = ruleOf(group, SecurityGroupRuleId ?? '');
      const [wanted] = readPermissions(context, group, [
        {
          IpProtocol: to.IpProtocol,
          FromPort: to.FromPort,
          ToPort: to.ToPort,
          ...(to.CidrIpv4 && { IpRanges: [{ CidrIp: to.CidrIpv4, Description: to.Description }] }),
          ...(to.CidrIpv6 && { Ipv6Ranges: [{ CidrIpv6: to.CidrIpv6, Description: to.Description }] }),
          ...(to.ReferencedGroupId && {
            UserIdGroupPairs: [{ GroupId: to.ReferencedGroupId, Description: to.Description }],
          }),
        },
      ]);
      const { id, tags } = rule;
      group[direction] = group[direction].map((other) =>
        other.id === id ? { id, ...wanted!, tags } : other,
      );
      const same = group[direction].filter((other) => identity(other) === identity(wanted!));
      if (same.length > 1) {
        throw new Ec2Error(
          'InvalidPermission.Duplicate',
          `the specified rule "${inWords(wanted!)}" already exists`,
        );
      }
    }
    return { Return: true };
  },
};
