import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import {
  AuthorizeSecurityGroupEgressCommand,
  AuthorizeSecurityGroupIngressCommand,
  CreateSecurityGroupCommand,
  DeleteSecurityGroupCommand,
  DescribeSecurityGroupRulesCommand,
  DescribeSecurityGroupsCommand,
  type IpPermission,
  RevokeSecurityGroupEgressCommand,
  RevokeSecurityGroupIngressCommand,
} from '@aws-sdk/client-ec2';
import { buildNetwork, createInterface, startCloud } from '../cloud.fixture.ts';

async function start(t: TestContext) {
  const lab = await startCloud(t);
  const network = await buildNetwork(lab.ec2);
  const create = async (GroupName: string) =>
    (
      await lab.ec2.send(
        new CreateSecurityGroupCommand({ VpcId: network.vpcId, GroupName, Description: GroupName }),
      )
    ).GroupId!;
  const GroupId = await create('web');
  const allow = (...IpPermissions: IpPermission[]) =>
    lab.ec2.send(new AuthorizeSecurityGroupIngressCommand({ GroupId, IpPermissions }));
  const describe = async () =>
    (await lab.ec2.send(new DescribeSecurityGroupsCommand({ GroupIds: [GroupId] }))).SecurityGroups![0]!;
  return { ...lab, ...network, create, GroupId, allow, describe };
}

const http = (CidrIp: string): IpPermission => ({
  IpProtocol: 'tcp',
  FromPort: 80,
  ToPort: 80,
  IpRanges: [{ CidrIp }],
});

test('rules are authorized by block and by group, and told together by range', async (t) => {
  const lab = await start(t);
  const other = await lab.create('clients');
  await lab.allow(
    { ...http('10.0.0.0/8'), UserIdGroupPairs: [{ GroupId: other, Description: 'clients' }] },
    { ...http('192.0.2.7/24'), Ipv6Ranges: [{ CidrIpv6: '2001:DB8::/32' }] },
    { IpProtocol: '1', FromPort: 8, ToPort: -1, IpRanges: [{ CidrIp: '0.0.0.0/0' }] },
    { IpProtocol: '-1', UserIdGroupPairs: [{ GroupId: lab.GroupId }] },
    { IpProtocol: '50', IpRanges: [{ CidrIp: '10.0.0.0/8' }] },
  );
  const group = await lab.describe();
  const UserId = '123456789012';
  assert.deepEqual(
    group.IpPermissions!.map(({ PrefixListIds, ...permission }) => permission),
    [
      {
        IpProtocol: 'tcp',
        FromPort: 80,
        ToPort: 80,
        IpRanges: [{ CidrIp: '10.0.0.0/8' }, { CidrIp: '192.0.2.0/24' }],
        Ipv6Ranges: [{ CidrIpv6: '2001:db8::/32' }],
        UserIdGroupPairs: [{ GroupId: other, UserId, Description: 'clients' }],
      },
      {
        IpProtocol: 'icmp',
        FromPort: 8,
        ToPort: -1,
        IpRanges: [{ CidrIp: '0.0.0.0/0' }],
        Ipv6Ranges: [],
        UserIdGroupPairs: [],
      },
      {
        IpProtocol: '-1',
        IpRanges: [],
        Ipv6Ranges: [],
        UserIdGroupPairs: [{ GroupId: lab.GroupId, UserId }],
      },
      { IpProtocol: '50', IpRanges: [{ CidrIp: '10.0.0.0/8' }], Ipv6Ranges: [], UserIdGroupPairs: [] },
    ],
  );
  const { SecurityGroupRules } = await lab.ec2.send(
    new DescribeSecurityGroupRulesCommand({ Filters: [{ Name: 'group-id', Values: [lab.GroupId] }] }),
  );
  assert.equal(SecurityGroupRules!.length, 7 + 1, 'and the egress rule that every group has');
  assert.deepEqual(SecurityGroupRules!.map(({ IsEgress }) => IsEgress).filter(Boolean), [true]);
});

test('the same rule twice is refused, also within a request', async (t) => {
  const { allow, cloud, GroupId } = await start(t);
  await allow(http('10.0.0.0/8'));
  const duplicate = {
    name: 'InvalidPermission.Duplicate',
    message: 'the specified rule "peer: 10.0.0.0/8, TCP, from port: 80, to port: 80, ALLOW" already exists',
  };
  await assert.rejects(allow(http('10.1.2.3/8')), duplicate);
  await assert.rejects(allow(http('10.1.0.0/16'), http('10.1.0.0/16')), { name: duplicate.name });
  assert.equal(cloud.state.securityGroups[GroupId]!.ingress.length, 1);
});

test('rules are revoked by what they say and by id', async (t) => {
  const { ec2, GroupId, allow, describe } = await start(t);
  const { SecurityGroupRules } = await allow(http('10.0.0.0/8'), http('192.0.2.0/24'));
  const revoke = (more: object) => ec2.send(new RevokeSecurityGroupIngressCommand({ GroupId, ...more }));
  await revoke({ IpPermissions: [http('10.0.0.0/8')] });
  await assert.rejects(revoke({ IpPermissions: [http('10.0.0.0/8')] }), {
    name: 'InvalidPermission.NotFound',
  });
  await revoke({ SecurityGroupRuleIds: [SecurityGroupRules![1]!.SecurityGroupRuleId] });
  await assert.rejects(revoke({ SecurityGroupRuleIds: ['sgr-1'] }), {
    name: 'InvalidSecurityGroupRuleId.NotFound',
  });
  assert.deepEqual((await describe()).IpPermissions, []);

  const everything: IpPermission[] = [{ IpProtocol: '-1', IpRanges: [{ CidrIp: '0.0.0.0/0' }] }];
  await ec2.send(new RevokeSecurityGroupEgressCommand({ GroupId, IpPermissions: everything }));
  assert.deepEqual((await describe()).IpPermissionsEgress, []);
  await ec2.send(new AuthorizeSecurityGroupEgressCommand({ GroupId, IpPermissions: everything }));
  assert.equal((await describe()).IpPermissionsEgress!.length, 1);
});

test('a group is deleted only when nothing refers to it', async (t) => {
  const lab = await start(t);
  const remove = (GroupId: string) => lab.ec2.send(new DeleteSecurityGroupCommand({ GroupId }));
  const other = await lab.create('other');
  await lab.allow({ IpProtocol: '-1', UserIdGroupPairs: [{ GroupId: other }] });
  await assert.rejects(remove(other), { name: 'DependencyViolation', message: new RegExp(lab.GroupId) });
  const eni = await createInterface(lab, lab.subnetId, { Groups: [lab.GroupId] });
  await assert.rejects(remove(lab.GroupId), { name: 'DependencyViolation', message: new RegExp(eni) });
  await assert.rejects(remove(lab.groupId), { name: 'CannotDelete' });
  const [unused] = [await lab.create('unused')];
  await remove(unused);
  await assert.rejects(remove(unused), { name: 'InvalidGroup.NotFound' });
});

test('names are unique within a VPC', async (t) => {
  const { create } = await start(t);
  await assert.rejects(create('web'), { name: 'InvalidGroup.Duplicate' });
  await assert.rejects(create('default'), { name: 'InvalidParameterValue' });
  await assert.rejects(create('sg-web'), { name: 'InvalidParameterValue' });
});

suite('refused permissions', () => {
  for (const [what, permission, name] of [
    [
      'tcp without ports',
      { IpProtocol: 'tcp', IpRanges: [{ CidrIp: '0.0.0.0/0' }] },
      'InvalidParameterValue',
    ],
    ['ports upside down', { ...http('0.0.0.0/0'), FromPort: 81 }, 'InvalidParameterValue'],
    ['an unknown protocol', { ...http('0.0.0.0/0'), IpProtocol: 'quic' }, 'InvalidParameterValue'],
    ['no peer', { IpProtocol: '-1' }, 'MissingParameter'],
    ['a block that is none', http('everywhere'), 'InvalidParameterValue'],
    [
      'a group that is none',
      { IpProtocol: '-1', UserIdGroupPairs: [{ GroupId: 'sg-1' }] },
      'InvalidGroup.NotFound',
    ],
    ['an IPv6 block in IpRanges', http('::/0'), 'InvalidParameterValue'],
  ] as const) {
    test(what, async (t) => {
      const { allow } = await start(t);
      await assert.rejects(allow(permission as unknown as IpPermission), { name });
    });
  }

  test('more than 60 rules', async (t) => {
    const { allow, cloud, GroupId } = await start(t);
    const rules = Array.from({ length: 61 }, (_, index) => http(`10.${index}.0.0/16`));
    await assert.rejects(allow(...rules), { name: 'RulesPerSecurityGroupLimitExceeded' });
    assert.deepEqual(cloud.state.securityGroups[GroupId]!.ingress, []);
  });
});
