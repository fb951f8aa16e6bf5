import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCidr } from '@enid/ip';
import type { CloudState, SecurityGroupRule } from '../cloud/state.ts';
import {
  anywhere,
  CLOSED_GROUP,
  changeInterface,
  eniId,
  OPEN_GROUP,
  rule,
  securityGroup,
  testCloud,
  withInstance,
} from './cloud.fixture.ts';
import { portName } from './names.ts';
import { securityGroupRules } from './security-groups.ts';

const cidr = (text: string) => ({ cidr: parseCidr(text) });

/** The nft rules of one group, by direction. */
function rulesOf(ingress: SecurityGroupRule[], egress: SecurityGroupRule[] = []) {
  const group = securityGroup('sg-1', ingress, egress)['sg-1']!;
  const { chains } = securityGroupRules([group], []);
  const of = (name: string) => chains.find((chain) => chain.name === name)!.rules;
  return { ingress: of('sg-1-ingress'), egress: of('sg-1-egress') };
}

test('each protocol and range as nft matches it', () => {
  const { ingress } = rulesOf([
    rule(anywhere),
    rule(anywhere, 'tcp', 443),
    rule(anywhere, 'udp', 1000, 2000),
    rule(anywhere, 'tcp', 0, 65535),
    rule(anywhere, 'icmp', -1),
    rule(anywhere, 'icmp', 8, -1),
    rule(anywhere, 'icmp', 3, 4),
    rule(anywhere, '47'),
    rule(cidr('10.0.0.0/8'), 'tcp', 22),
    rule({ groupId: 'sg-2' }, 'tcp', 80),
  ]);
  assert.deepEqual(ingress, [
    'accept',
    'tcp dport 443 accept',
    'udp dport 1000-2000 accept',
    'meta l4proto tcp accept',
    'meta l4proto icmp accept',
    'icmp type 8 accept',
    'icmp type 3 icmp code 4 accept',
    'meta l4proto 47 accept',
    'ip saddr 10.0.0.0/8 tcp dport 22 accept',
    'iifname @sg-2 tcp dport 80 accept',
  ]);
});

test('what egress allows goes on to the groups of the destination', () => {
  const { egress } = rulesOf([], [rule(cidr('10.0.0.0/8'), 'udp', 53), rule({ groupId: 'sg-2' })]);
  assert.deepEqual(egress, ['ip daddr 10.0.0.0/8 udp dport 53 goto ingress', 'oifname @sg-2 goto ingress']);
});

test('rules about IPv6 allow no IPv4', () => {
  const { ingress } = rulesOf([rule(cidr('::/0')), rule(anywhere, 'icmpv6', -1)]);
  assert.deepEqual(ingress, []);
});

test('several groups share one pair of chains for all that have them; who has none is in no map', () => {
  let state = testCloud();
  const both = [OPEN_GROUP, CLOSED_GROUP];
  for (const number of [5, 6]) state = withInstance(state, number, 'publicA', { groups: both.toReversed() });
  state = withInstance(state, 7, 'publicA', { groups: [] });
  const { chains, sets } = securityGroupRules(
    Object.values(state.securityGroups),
    Object.values(state.networkInterfaces),
  );
  const shared = chains.filter(({ name }) => name.startsWith('groups-'));
  assert.deepEqual(
    shared.map(({ rules }) => rules),
    [both.map((id) => `jump ${id}-egress`), both.map((id) => `jump ${id}-ingress`)],
  );
  const ingress = sets.find(({ name }) => name === 'ingress')!.elements;
  assert.equal(ingress.filter((element) => element.endsWith(shared[1]!.name)).length, 2);
  assert.ok(!ingress.some((element) => element.includes(portName(eniId(7)))));
});

test('the members of a group that rules refer to', () => {
  let state: CloudState = withInstance(testCloud(), 5, 'publicA');
  state = withInstance(state, 6, 'publicA', { groups: [CLOSED_GROUP] });
  state = changeInterface(state, eniId(5), { groups: [OPEN_GROUP, CLOSED_GROUP] });
  const groups = { ...state.securityGroups, ...securityGroup('sg-3', [rule({ groupId: CLOSED_GROUP })]) };
  const { sets } = securityGroupRules(Object.values(groups), Object.values(state.networkInterfaces));
  assert.deepEqual(sets.find(({ name }) => name === CLOSED_GROUP)?.elements.toSorted(), [
    `"${portName(eniId(5))}"`,
    `"${portName(eniId(6))}"`,
  ]);
});
