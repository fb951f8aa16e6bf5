import type {
  SecurityGroup as Ec2SecurityGroup,
  SecurityGroupRule as Ec2SecurityGroupRule,
  IpPermission,
  TagSpecification,
} from '@aws-sdk/client-ec2';
import { type Cidr, familyOf, type Ipv4Cidr, parseCidr } from '@enid/ip';
import type { Draft } from 'immer';
import {
  dependencyViolation,
  Ec2Error,
  invalidCombination,
  invalidValue,
  missingParameter,
} from '../errors.ts';
import { describe, type FilterTable, matcher, paginate } from '../filters.ts';
import { arn } from '../names.ts';
import type { Context, Operations } from '../operation.ts';
import { find } from '../resources.ts';
import type { CloudState, SecurityGroup, SecurityGroupRule } from '../state.ts';
import { tagList, tagsFor } from '../tags.ts';

export type Direction = 'ingress' | 'egress';
type Peer = SecurityGroupRule['peer'];
type Protocol = SecurityGroupRule['protocol'];
/** A rule that a request describes: not yet one of a group, so without an id. */
type Wanted = Pick<SecurityGroupRule, 'protocol' | 'fromPort' | 'toPort' | 'peer' | 'description'>;

const PROTOCOL_NAMES: Readonly<Record<string, Protocol>> = {
  '1': 'icmp',
  '6': 'tcp',
  '17': 'udp',
  '58': 'icmpv6',
  all: '-1',
};

function readProtocol(text: string | undefined): Protocol {
  if (text === undefined) throw missingParameter('ipProtocol');
  const name = text.toLowerCase();
  const protocol = PROTOCOL_NAMES[name] ?? name;
  if (/^(tcp|udp|icmp|icmpv6|-1)$/.test(protocol)) return protocol as Protocol;
  if (/^\d{1,3}$/.test(protocol) && Number(protocol) < 256) return protocol as Protocol;
  throw invalidValue(text, 'ipProtocol', 'Use tcp, udp, icmp, icmpv6, a protocol number, or -1 for all.');
}

/** Ports of tcp and udp, type and code of ICMP; other protocols have neither. */
function readPorts(
  protocol: Protocol,
  { FromPort: from, ToPort: to }: IpPermission,
): Pick<SecurityGroupRule, 'fromPort' | 'toPort'> {
  if (protocol === 'tcp' || protocol === 'udp') {
    if (from === undefined || to === undefined) {
      throw new Ec2Error(
        'InvalidParameterValue',
        `Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.`,
      );
    }
    const isRange = Number.isInteger(from) && Number.isInteger(to) && from >= 0 && to <= 65535 && from <= to;
    if (!isRange)
      throw invalidValue(`${from}-${to}`, 'portRange', `Invalid ${protocol.toUpperCase()} port range.`);
    return { fromPort: from, toPort: to };
  }
  if (protocol !== 'icmp' && protocol !== 'icmpv6') return {};
  const [type, code] = [from ?? -1, to ?? -1];
  const isNumber = (value: number) => Number.isInteger(value) && value >= -1 && value <= 255;
  if (!isNumber(type) || !isNumber(code) || (type === -1 && code !== -1)) {
    throw invalidValue(`${type}, ${code}`, 'ICMP type and code', 'Use -1 for all types and codes.');
  }
  return { fromPort: type, toPort: code };
}

function readCidr(text: string | undefined, parameter: string, family: 4 | 6): Cidr {
  if (text === undefined) throw missingParameter(parameter);
  try {
    const cidr = parseCidr(text);
    if (familyOf(cidr) === family) return cidr;
  } catch {
    // It is refused below.
  }
  throw invalidValue(text, parameter, `This is not a valid IPv${family} CIDR block.`);
}

/** The rules that permissions stand for: one for each protocol, range and peer. */
export function readPermissions(
  { state }: Context,
  group: Draft<SecurityGroup>,
  permissions: readonly IpPermission[],
): Wanted[] {
  return permissions.flatMap((permission) => {
    const protocol = readProtocol(permission.IpProtocol);
    const ports = readPorts(protocol, permission);
    if (permission.PrefixListIds?.length) {
      throw new Ec2Error(
        'InvalidPrefixListId.NotFound',
        'The lab has no prefix lists: name the CIDR blocks.',
      );
    }
    const rule = (peer: Peer, description: string | undefined): Wanted => ({
      protocol,
      ...ports,
      peer,
      ...(description !== undefined && { description }),
    });
    const rules = [
      ...(permission.IpRanges ?? []).map((range) =>
        rule({ cidr: readCidr(range.CidrIp, 'CidrIp', 4) }, range.Description),
      ),
      ...(permission.Ipv6Ranges ?? []).map((range) =>
        rule({ cidr: readCidr(range.CidrIpv6, 'CidrIpv6', 6) }, range.Description),
      ),
      ...(permission.UserIdGroupPairs ?? []).map((pair) => {
        const id = pair.GroupId ?? groupOfName(state, group.vpcId, pair.GroupName);
        const peer = find(state, 'security-group', id);
        if (peer.vpcId !== group.vpcId) {
          throw new Ec2Error(
            'InvalidGroup.NotFound',
            `You have specified two resources that belong to different networks.`,
          );
        }
        return rule({ groupId: id }, pair.Description);
      }),
    ];
    if (rules.length === 0) throw missingParameter('IpPermissions.IpRanges or UserIdGroupPairs');
    return rules;
  });
}

function groupOfName(state: Draft<CloudState>, vpcId: string, name: string | undefined): string {
  if (name === undefined) throw missingParameter('groupId');
  const group = Object.values(state.securityGroups).find(
    (other) => other.vpcId === vpcId && other.name === name,
  );
  if (group) return group.id;
  throw new Ec2Error(
    'InvalidGroup.NotFound',
    `The security group '${name}' does not exist in the VPC '${vpcId}'`,
  );
}

/** Older clients have the one rule of a request as parameters of its own. */
function permissionsOf(input: {
  IpPermissions?: IpPermission[] | undefined;
  IpProtocol?: string | undefined;
  FromPort?: number | undefined;
  ToPort?: number | undefined;
  CidrIp?: string | undefined;
}): IpPermission[] {
  const { IpProtocol, FromPort, ToPort, CidrIp } = input;
  if (IpProtocol === undefined && CidrIp === undefined) return input.IpPermissions ?? [];
  if (input.IpPermissions?.length)
    throw invalidCombination('Give the rule in IpPermissions, or by itself, not both.');
  return [{ IpProtocol, FromPort, ToPort, IpRanges: [{ CidrIp }] }];
}

/** What makes two rules of one direction the same rule. */
export const identity = ({ protocol, fromPort, toPort, peer }: Wanted): string =>
  JSON.stringify([protocol, fromPort, toPort, 'cidr' in peer ? peer.cidr : peer.groupId]);

export function inWords({ protocol, fromPort, toPort, peer }: Wanted): string {
  const ports = fromPort === undefined ? '' : `, from port: ${fromPort}, to port: ${toPort}`;
  const name = protocol === '-1' ? 'ALL' : protocol.toUpperCase();
  return `peer: ${'cidr' in peer ? peer.cidr : peer.groupId}, ${name}${ports}, ALLOW`;
}

function authorize(
  context: Context,
  group: Draft<SecurityGroup>,
  direction: Direction,
  permissions: readonly IpPermission[],
  specifications?: readonly TagSpecification[],
) {
  const { quotas } = context;
  const wanted = readPermissions(context, group, permissions);
  if (wanted.length === 0) throw missingParameter('IpPermissions');
  const tags = tagsFor('security-group-rule', specifications, quotas);
  const known = new Set(group[direction].map(identity));
  for (const rule of wanted) {
    if (known.has(identity(rule))) {
      throw new Ec2Error(
        'InvalidPermission.Duplicate',
        `the specified rule "${inWords(rule)}" already exists`,
      );
    }
    known.add(identity(rule));
    group[direction].push({ id: context.newId('sgr'), ...rule, tags: { ...tags } });
  }
  if (group[direction].length > quotas.rulesPerSecurityGroup) {
    throw new Ec2Error(
      'RulesPerSecurityGroupLimitExceeded',
      `The maximum number of rules per security group (${quotas.rulesPerSecurityGroup}) has been reached.`,
    );
  }
  const added = group[direction].slice(-wanted.length);
  return {
    Return: true,
    SecurityGroupRules: added.map((rule) => describeRule(context, group, direction, rule)),
  };
}

function revoke(
  context: Context,
  group: Draft<SecurityGroup>,
  direction: Direction,
  permissions: readonly IpPermission[],
  ruleIds: readonly string[] | undefined,
) {
  const wanted = readPermissions(context, group, permissions);
  if (wanted.length === 0 && !ruleIds?.length)
    throw missingParameter('IpPermissions or SecurityGroupRuleIds');
  const revoked = [
    ...(ruleIds ?? []).map((id) => {
      const rule = group[direction].find((other) => other.id === id);
      if (rule) return rule;
      throw new Ec2Error(
        'InvalidSecurityGroupRuleId.NotFound',
        `The security group rule ID '${id}' does not exist`,
      );
    }),
    ...wanted.map((asked) => {
      const rule = group[direction].find((other) => identity(other) === identity(asked));
      if (rule) return rule;
      throw new Ec2Error(
        'InvalidPermission.NotFound',
        `The specified rule does not exist in this security group: "${inWords(asked)}"`,
      );
    }),
  ];
  group[direction] = group[direction].filter((rule) => !revoked.includes(rule));
  return { Return: true };
}

function describeRule(
  { state }: Context,
  group: Draft<SecurityGroup>,
  direction: Direction,
  rule: Draft<SecurityGroupRule>,
): Ec2SecurityGroupRule {
  const { peer } = rule;
  return {
    SecurityGroupRuleId: rule.id,
    SecurityGroupRuleArn: arn(state.region, state.accountId, 'security-group-rule', rule.id),
    GroupId: group.id,
    GroupOwnerId: state.accountId,
    IsEgress: direction === 'egress',
    IpProtocol: rule.protocol,
    FromPort: rule.fromPort ?? -1,
    ToPort: rule.toPort ?? -1,
    ...('groupId' in peer
      ? { ReferencedGroupInfo: { GroupId: peer.groupId, UserId: state.accountId } }
      : familyOf(peer.cidr) === 4
        ? { CidrIpv4: peer.cidr }
        : { CidrIpv6: peer.cidr }),
    Description: rule.description,
    Tags: tagList(rule.tags),
  };
}

/** Rules as permissions: those of one protocol and range are told together. */
function describePermissions(rules: readonly SecurityGroupRule[], accountId: string): IpPermission[] {
  const byRange = Map.groupBy(rules, ({ protocol, fromPort, toPort }) => `${protocol} ${fromPort} ${toPort}`);
  return [...byRange.values()].map((same) => {
    const [{ protocol, fromPort, toPort }] = same as [SecurityGroupRule];
    const permission = {
      IpProtocol: protocol,
      FromPort: fromPort,
      ToPort: toPort,
      IpRanges: [] as NonNullable<IpPermission['IpRanges']>,
      Ipv6Ranges: [] as NonNullable<IpPermission['Ipv6Ranges']>,
      PrefixListIds: [],
      UserIdGroupPairs: [] as NonNullable<IpPermission['UserIdGroupPairs']>,
    };
    for (const { peer, description: Description } of same) {
      if ('groupId' in peer) {
        permission.UserIdGroupPairs.push({ GroupId: peer.groupId, UserId: accountId, Description });
      } else if (familyOf(peer.cidr) === 4) permission.IpRanges.push({ CidrIp: peer.cidr, Description });
      else permission.Ipv6Ranges.push({ CidrIpv6: peer.cidr, Description });
    }
    return permission;
  });
}

const ruleFilters = (prefix: string, direction: Direction): FilterTable<Draft<SecurityGroup>> => ({
  [`${prefix}.protocol`]: (group) => group[direction].map(({ protocol }) => protocol),
  [`${prefix}.from-port`]: (group) => group[direction].map(({ fromPort }) => fromPort),
  [`${prefix}.to-port`]: (group) => group[direction].map(({ toPort }) => toPort),
  [`${prefix}.cidr`]: (group) => group[direction].map(({ peer }) => ('cidr' in peer ? peer.cidr : undefined)),
  [`${prefix}.group-id`]: (group) =>
    group[direction].map(({ peer }) => ('groupId' in peer ? peer.groupId : undefined)),
});

const filtersOf = ({ state }: Context): FilterTable<Draft<SecurityGroup>> => ({
  'group-id': (group) => group.id,
  'group-name': (group) => group.name,
  description: (group) => group.description,
  'vpc-id': (group) => group.vpcId,
  'owner-id': () => state.accountId,
  ...ruleFilters('ip-permission', 'ingress'),
  ...ruleFilters('egress.ip-permission', 'egress'),
});

function describeGroup({ state }: Context, group: Draft<SecurityGroup>): Ec2SecurityGroup {
  return {
    GroupId: group.id,
    GroupName: group.name,
    Description: group.description,
    VpcId: group.vpcId,
    OwnerId: state.accountId,
    SecurityGroupArn: arn(state.region, state.accountId, 'security-group', group.id),
    IpPermissions: describePermissions(group.ingress, state.accountId),
    IpPermissionsEgress: describePermissions(group.egress, state.accountId),
    Tags: tagList(group.tags),
  };
}

const EVERYWHERE = '0.0.0.0/0' as Ipv4Cidr;

function createGroup(
  context: Context,
  group: Pick<SecurityGroup, 'vpcId' | 'name' | 'description'> & { tags: Record<string, string> },
): Draft<SecurityGroup> {
  const id = context.newId('sg');
  const toEverywhere = {
    id: context.newId('sgr'),
    protocol: '-1' as const,
    peer: { cidr: EVERYWHERE },
    tags: {},
  };
  context.state.securityGroups[id] = { id, ...group, ingress: [], egress: [toEverywhere] };
  return context.state.securityGroups[id];
}

/** The group that every VPC has: its members reach each other, and everything. */
export function createDefaultGroup(context: Context, vpcId: string): void {
  const group = createGroup(context, {
    vpcId,
    name: 'default',
    description: 'default VPC security group',
    tags: {},
  });
  const fromItself = {
    id: context.newId('sgr'),
    protocol: '-1' as const,
    peer: { groupId: group.id },
    tags: {},
  };
  group.ingress.push(fromItself);
}

/** The group of a request, by its id: names are of EC2-Classic and a default VPC, which the lab has not. */
export function groupOf({ state }: Context, id: string | undefined): Draft<SecurityGroup> {
  if (id === undefined) throw missingParameter('groupId');
  return find(state, 'security-group', id);
}

export const operations: Operations = {
  CreateSecurityGroup(input, context) {
    const { state, quotas } = context;
    if (input.VpcId === undefined) throw new Ec2Error('VPCIdNotSpecified', 'No default VPC for this user');
    const vpc = find(state, 'vpc', input.VpcId);
    const [name, description] = [input.GroupName, input.Description];
    if (name === 'default' || name.startsWith('sg-')) {
      throw invalidValue(name, 'groupName', "'default' and names that begin with 'sg-' are reserved.");
    }
    for (const [text, parameter] of [
      [name, 'groupName'],
      [description, 'GroupDescription'],
    ] as const) {
      if (!/^[\w .:/()#,@[\]+=&;{}!$*-]{1,255}$/.test(text)) {
        throw invalidValue(text, parameter, 'Character sets beyond ASCII are not supported.');
      }
    }
    const groups = Object.values(state.securityGroups);
    if (groups.some((group) => group.vpcId === vpc.id && group.name === name)) {
      throw new Ec2Error(
        'InvalidGroup.Duplicate',
        `The security group '${name}' already exists for VPC '${vpc.id}'`,
      );
    }
    if (groups.length >= quotas.securityGroups) {
      throw new Ec2Error(
        'SecurityGroupLimitExceeded',
        `The maximum number of security groups (${quotas.securityGroups}) has been reached.`,
      );
    }
    const tags = tagsFor('security-group', input.TagSpecifications, quotas);
    const group = createGroup(context, { vpcId: vpc.id, name, description, tags });
    return {
      GroupId: group.id,
      SecurityGroupArn: arn(state.region, state.accountId, 'security-group', group.id),
      Tags: tagList(tags),
    };
  },

  DescribeSecurityGroups(input, context) {
    const { GroupNames } = input;
    const { items, nextToken } = describe(
      context.state,
      'security-group',
      input.GroupIds,
      GroupNames?.length
        ? { ...input, Filters: [...(input.Filters ?? []), { Name: 'group-name', Values: GroupNames }] }
        : input,
      filtersOf(context),
    );
    const missing = GroupNames?.find((name) => !items.some((group) => group.name === name));
    if (missing !== undefined) {
      throw new Ec2Error('InvalidGroup.NotFound', `The security group '${missing}' does not exist`);
    }
    return { SecurityGroups: items.map((group) => describeGroup(context, group)), ...nextToken };
  },

  DeleteSecurityGroup(input, context) {
    const { state } = context;
    const group = groupOf(context, input.GroupId);
    if (group.name === 'default') {
      throw new Ec2Error(
        'CannotDelete',
        `the specified group: "${group.id}" name: "default" cannot be deleted by a user`,
      );
    }
    const refersTo = ({ peer }: SecurityGroupRule) => 'groupId' in peer && peer.groupId === group.id;
    const dependents = [
      ...Object.values(state.networkInterfaces).filter(({ groups }) => groups.includes(group.id)),
      ...Object.values(state.securityGroups).filter(
        (other) => other.id !== group.id && [...other.ingress, ...other.egress].some(refersTo),
      ),
    ];
    if (dependents.length > 0) {
      throw dependencyViolation(
        'security group',
        group.id,
        dependents.map(({ id }) => id),
      );
    }
    delete state.securityGroups[group.id];
    return { Return: true, GroupId: group.id };
  },

  AuthorizeSecurityGroupIngress(input, context) {
    const group = groupOf(context, input.GroupId);
    return authorize(context, group, 'ingress', permissionsOf(input), input.TagSpecifications);
  },

  AuthorizeSecurityGroupEgress(input, context) {
    const group = groupOf(context, input.GroupId);
    return authorize(context, group, 'egress', permissionsOf(input), input.TagSpecifications);
  },

  RevokeSecurityGroupIngress(input, context) {
    const group = groupOf(context, input.GroupId);
    return revoke(context, group, 'ingress', permissionsOf(input), input.SecurityGroupRuleIds);
  },

  RevokeSecurityGroupEgress(input, context) {
    const group = groupOf(context, input.GroupId);
    return revoke(context, group, 'egress', permissionsOf(input), input.SecurityGroupRuleIds);
  },

  DescribeSecurityGroupRules(input, context) {
    const rules = Object.values(context.state.securityGroups).flatMap((group) =>
      (['ingress', 'egress'] as const).flatMap((direction) =>
        group[direction].map((rule) => ({ id: rule.id, tags: rule.tags, group, direction, rule })),
      ),
    );
    const matches = matcher<(typeof rules)[number]>(input.Filters, {
      'security-group-rule-id': ({ id }) => id,
      'group-id': ({ group }) => group.id,
    });
    const ids = input.SecurityGroupRuleIds ?? [];
    const missing = ids.find((id) => !rules.some((rule) => rule.id === id));
    if (missing !== undefined) {
      throw new Ec2Error(
        'InvalidSecurityGroupRuleId.NotFound',
        `The security group rule ID '${missing}' does not exist`,
      );
    }
    const selected = rules.filter((rule) => (ids.length === 0 || ids.includes(rule.id)) && matches(rule));
    const { items, nextToken } = paginate(
      selected.map((rule) => [rule.id, rule] as const),
      input,
    );
    return {
      SecurityGroupRules: items.map(({ group, direction, rule }) =>
        describeRule(context, group, direction, rule),
      ),
      ...nextToken,
    };
  },
};
