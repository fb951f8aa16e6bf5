/**
 * Security groups as nftables chains. A new connection passes two stages: the groups of the interface that it comes
 * from, by their egress rules, then those of the interface that it goes to, by their ingress rules. A chain ends in
 * a verdict only where a rule allows; otherwise evaluation falls through to the stage's drop.
 */
import { createHash } from 'node:crypto';
import { familyOf } from '@enid/ip';
import type { NetworkInterface, SecurityGroup, SecurityGroupRule } from '../cloud/state.ts';
import { portName } from './names.ts';
import type { Chain, NamedSet } from './ruleset.ts';

/** The chain of the second stage. */
export const INGRESS_STAGE = 'ingress';

/** The security groups of the interfaces of one VPC. */
export type SecurityGroupRules = {
  readonly chains: readonly Chain[];
  /** The maps `egress` and `ingress` from port to groups, and the ports of each group that a rule refers to. */
  readonly sets: readonly NamedSet[];
};

type Direction = {
  readonly stage: 'egress' | 'ingress';
  readonly rules: (group: SecurityGroup) => readonly SecurityGroupRule[];
  /** Matches of a rule's peer. */
  readonly address: 'daddr' | 'saddr';
  readonly interface: 'oifname' | 'iifname';
  /** What an allowed packet meets next. */
  readonly verdict: string;
};

const DIRECTIONS: readonly Direction[] = [
  {
    stage: 'egress',
    rules: (group) => group.egress,
    address: 'daddr',
    interface: 'oifname',
    verdict: `goto ${INGRESS_STAGE}`,
  },
  {
    stage: 'ingress',
    rules: (group) => group.ingress,
    address: 'saddr',
    interface: 'iifname',
    verdict: 'accept',
  },
];

/**
 * @param groups the groups of the VPC.
 * @param interfaces those of its interfaces that have a port. A NAT gateway has no security groups and lets
 * everything pass, and so does a network load balancer that was made without; any other interface without a group is
 * reached by nothing.
 */
export function securityGroupRules(
  groups: readonly SecurityGroup[],
  interfaces: readonly NetworkInterface[],
): SecurityGroupRules {
  const known = new Map(groups.map((group) => [group.id, group]));
  const groupsOf = (eni: NetworkInterface) => eni.groups.filter((id) => known.has(id)).sort();
  const combinations = new Map(interfaces.map((eni) => [combinationName(groupsOf(eni)), groupsOf(eni)]));
  const referred = new Set(
    groups.flatMap(({ ingress, egress }) =>
      [...ingress, ...egress].flatMap(({ peer }) => ('groupId' in peer ? [peer.groupId] : [])),
    ),
  );

  const chains = DIRECTIONS.flatMap((direction) => [
    ...groups.map((group) => ({
      name: `${group.id}-${direction.stage}`,
      rules: direction.rules(group).flatMap((rule) => ruleText(rule, direction)),
    })),
    ...[...combinations]
      .filter(([, ids]) => ids.length > 1)
      .map(([name, ids]) => ({
        name: `${name}-${direction.stage}`,
        rules: ids.map((id) => `jump ${id}-${direction.stage}`),
      })),
  ]);
  const verdicts = DIRECTIONS.map(({ stage, verdict }) => ({
    name: stage,
    key: 'ifname',
    value: 'verdict',
    elements: interfaces.flatMap((eni) => {
      const ids = groupsOf(eni);
      const isOpen = eni.kind === 'nat_gateway' || (eni.kind === 'network_load_balancer' && ids.length === 0);
      if (isOpen) return [`"${portName(eni.id)}" : ${verdict}`];
      return ids.length === 0 ? [] : [`"${portName(eni.id)}" : jump ${combinationName(ids)}-${stage}`];
    }),
  }));
  const members = [...referred].sort().map((id) => ({
    name: id,
    key: 'ifname',
    elements: interfaces.filter((eni) => eni.groups.includes(id)).map((eni) => `"${portName(eni.id)}"`),
  }));
  return { chains, sets: [...verdicts, ...members] };
}

/** One group is its own combination; several share chains that jump to each. */
function combinationName(groupIds: readonly string[]): string {
  if (groupIds.length <= 1) return groupIds[0] ?? '';
  return `groups-${createHash('sha1').update(groupIds.join()).digest('hex').slice(0, 10)}`;
}

/** The nft rule of a security group rule. None for IPv6, of which no packet is forwarded. */
function ruleText(rule: SecurityGroupRule, direction: Direction): string[] {
  const { peer } = rule;
  if (('cidr' in peer && familyOf(peer.cidr) === 6) || rule.protocol === 'icmpv6') return [];
  // A group stands for the interfaces in it, not for addresses: what an appliance passes on for a member, and
  // what a member sends by its public address, is not the group's.
  const from =
    'groupId' in peer
      ? `${direction.interface} @${peer.groupId}`
      : peer.cidr === '0.0.0.0/0'
        ? ''
        : `ip ${direction.address} ${peer.cidr}`;
  return [[from, protocolMatch(rule), direction.verdict].filter(Boolean).join(' ')];
}

function protocolMatch({ protocol, fromPort, toPort }: SecurityGroupRule): string {
  switch (protocol) {
    case '-1':
      return '';
    case 'tcp':
    case 'udp':
      return fromPort === undefined || toPort === undefined || (fromPort <= 0 && toPort >= 65535)
        ? `meta l4proto ${protocol}`
        : `${protocol} dport ${fromPort === toPort ? fromPort : `${fromPort}-${toPort}`}`;
    case 'icmp': {
      const type = fromPort === undefined || fromPort < 0 ? 'meta l4proto icmp' : `icmp type ${fromPort}`;
      return toPort === undefined || toPort < 0 ? type : `${type} icmp code ${toPort}`;
    }
    default:
      return `meta l4proto ${protocol}`;
  }
}
