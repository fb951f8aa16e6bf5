import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as ec2 from '@aws-sdk/client-ec2';
import { buildNetwork, startCloud } from '../cloud.fixture.ts';

test('rules are described anew, and become others, without being made anew', async (t) => {
  const { ec2: client } = await startCloud(t);
  const { vpcId, groupId: other } = await buildNetwork(client);
  const { GroupId } = await client.send(
    new ec2.CreateSecurityGroupCommand({ VpcId: vpcId, GroupName: 'web', Description: 'web' }),
  );
  const permission = (Description: string) => ({
    IpProtocol: 'tcp',
    FromPort: 80,
    ToPort: 80,
    UserIdGroupPairs: [{ GroupId: other, Description }],
  });
  const { SecurityGroupRules } = await client.send(
    new ec2.AuthorizeSecurityGroupIngressCommand({ GroupId, IpPermissions: [permission('old')] }),
  );
  const SecurityGroupRuleId = SecurityGroupRules![0]!.SecurityGroupRuleId!;
  const rule = async () => {
    const { SecurityGroupRules: found } = await client.send(
      new ec2.DescribeSecurityGroupRulesCommand({ SecurityGroupRuleIds: [SecurityGroupRuleId] }),
    );
    const [{ Description, FromPort, ReferencedGroupInfo, CidrIpv4 }] = found as [ec2.SecurityGroupRule];
    return [Description, FromPort, ReferencedGroupInfo?.GroupId ?? CidrIpv4];
  };
  await client.send(
    new ec2.UpdateSecurityGroupRuleDescriptionsIngressCommand({
      GroupId,
      IpPermissions: [permission('new')],
    }),
  );
  assert.deepEqual(await rule(), ['new', 80, other]);
  const modify = (SecurityGroupRule: ec2.SecurityGroupRuleRequest) =>
    client.send(
      new ec2.ModifySecurityGroupRulesCommand({
        GroupId,
        SecurityGroupRules: [{ SecurityGroupRuleId, SecurityGroupRule }],
      }),
    );
  const tcp = (port: number, CidrIpv4: string) => ({
    IpProtocol: 'tcp',
    FromPort: port,
    ToPort: port,
    CidrIpv4,
  });
  await modify(tcp(443, '10.0.0.0/8'));
  assert.deepEqual(await rule(), [undefined, 443, '10.0.0.0/8']);
  await client.send(
    new ec2.AuthorizeSecurityGroupIngressCommand({
      GroupId,
      IpPermissions: [{ IpProtocol: 'tcp', FromPort: 22, ToPort: 22, IpRanges: [{ CidrIp: '10.0.0.0/8' }] }],
    }),
  );
  await assert.rejects(modify(tcp(22, '10.0.0.0/8')), { name: 'InvalidPermission.Duplicate' });
});
