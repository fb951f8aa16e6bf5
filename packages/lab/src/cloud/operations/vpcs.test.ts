import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import * as ec2 from '@aws-sdk/client-ec2';
import { buildNetwork, createInterface, startCloud } from '../cloud.fixture.ts';
import { routeTableOf } from '../state.ts';

async function start(t: TestContext) {
  const lab = await startCloud(t);
  return { ...lab, ...(await buildNetwork(lab.ec2)) };
}

type Lab = Awaited<ReturnType<typeof start>>;

suite('VPCs', () => {
  test('come with a main route table and a default security group', async (t) => {
    const { ec2: client, cloud } = await startCloud(t);
    const { Vpc } = await client.send(
      new ec2.CreateVpcCommand({
        CidrBlock: '10.9.8.7/16',
        TagSpecifications: [{ ResourceType: 'vpc', Tags: [{ Key: 'Name', Value: 'lab' }] }],
      }),
    );
    assert.equal(Vpc!.CidrBlock, '10.9.0.0/16', 'host bits are cleared');
    assert.deepEqual(Vpc!.Tags, [{ Key: 'Name', Value: 'lab' }]);
    const { RouteTables } = await client.send(new ec2.DescribeRouteTablesCommand({}));
    assert.deepEqual(
      RouteTables!.map(({ Associations }) => Associations!.map(({ Main }) => Main)),
      [[true]],
    );
    assert.deepEqual(RouteTables![0]!.Routes, [
      {
        DestinationCidrBlock: '10.9.0.0/16',
        GatewayId: 'local',
        Origin: 'CreateRouteTable',
        State: 'active',
      },
    ]);
    const [group] = Object.values(cloud.state.securityGroups);
    assert.deepEqual([group!.name, group!.vpcId], ['default', Vpc!.VpcId]);
    assert.deepEqual(
      group!.ingress.map(({ peer }) => peer),
      [{ groupId: group!.id }],
    );
    assert.deepEqual(
      group!.egress.map(({ peer }) => peer),
      [{ cidr: '0.0.0.0/0' }],
    );
  });

  test('take further blocks, which every route table routes', async (t) => {
    const { ec2: client, cloud, vpcId: VpcId } = await start(t);
    const associate = (CidrBlock: string) =>
      client.send(new ec2.AssociateVpcCidrBlockCommand({ VpcId, CidrBlock }));
    const { CidrBlockAssociation } = await associate('100.64.0.0/16');
    await client.send(new ec2.CreateSubnetCommand({ VpcId, CidrBlock: '100.64.16.0/20' }));
    const table = Object.values(cloud.state.routeTables)[0]!;
    assert.deepEqual(
      table.routes.map(({ destination }) => destination),
      ['10.0.0.0/16', '100.64.0.0/16'],
    );
    await assert.rejects(associate('10.0.128.0/17'), {
      name: 'InvalidVpc.Range',
      message: /conflicts with 10\.0/,
    });
    await assert.rejects(associate('192.168.0.0/16'), { name: 'InvalidVpc.Range', message: /restricted/ });
    const AssociationId = CidrBlockAssociation!.AssociationId!;
    const disassociate = () => client.send(new ec2.DisassociateVpcCidrBlockCommand({ AssociationId }));
    await assert.rejects(disassociate(), { name: 'DependencyViolation', message: /subnet-/ });
    const [subnet] = Object.values(cloud.state.subnets).filter(({ cidr }) => cidr.startsWith('100.'));
    await client.send(new ec2.DeleteSubnetCommand({ SubnetId: subnet!.id }));
    await disassociate();
    assert.deepEqual(
      cloud.state.vpcs[VpcId]!.cidrBlocks.map(({ cidr }) => cidr),
      ['10.0.0.0/16'],
    );
    assert.equal(Object.values(cloud.state.routeTables)[0]!.routes.length, 1);
  });

  test('are deleted only when nothing is left in them', async (t) => {
    const { ec2: client, cloud, vpcId: VpcId, subnetId, otherSubnetId } = await start(t);
    const remove = () => client.send(new ec2.DeleteVpcCommand({ VpcId }));
    await assert.rejects(remove(), { name: 'DependencyViolation', message: new RegExp(`${subnetId}.*igw-`) });
    for (const SubnetId of [subnetId, otherSubnetId])
      await client.send(new ec2.DeleteSubnetCommand({ SubnetId }));
    const [InternetGatewayId] = Object.keys(cloud.state.internetGateways) as [string];
    await assert.rejects(client.send(new ec2.DeleteInternetGatewayCommand({ InternetGatewayId })), {
      name: 'DependencyViolation',
    });
    await client.send(new ec2.DetachInternetGatewayCommand({ VpcId, InternetGatewayId }));
    await client.send(new ec2.DeleteInternetGatewayCommand({ InternetGatewayId }));
    await remove();
    const { idCount, nextPublicOffset, region, zones, accountId, ...collections } = cloud.state;
    for (const [name, resources] of Object.entries(collections)) assert.deepEqual(resources, {}, name);
  });

  test('have attributes', async (t) => {
    const { ec2: client, vpcId: VpcId } = await start(t);
    await client.send(new ec2.ModifyVpcAttributeCommand({ VpcId, EnableDnsHostnames: { Value: true } }));
    const { EnableDnsHostnames } = await client.send(
      new ec2.DescribeVpcAttributeCommand({ VpcId, Attribute: 'enableDnsHostnames' }),
    );
    assert.deepEqual(EnableDnsHostnames, { Value: true });
    await assert.rejects(client.send(new ec2.ModifyVpcAttributeCommand({ VpcId })), {
      name: 'InvalidParameterCombination',
    });
  });

  test('five are allowed', async (t) => {
    const { ec2: client } = await startCloud(t);
    const create = (index: number) =>
      client.send(new ec2.CreateVpcCommand({ CidrBlock: `10.${index}.0.0/16` }));
    for (let index = 0; index < 5; index++) await create(index);
    await assert.rejects(create(5), { name: 'VpcLimitExceeded' });
  });

  for (const [CidrBlock, name] of [
    ['10.0.0.0/15', 'InvalidVpc.Range'],
    ['10.0.0.0/29', 'InvalidVpc.Range'],
    ['10.0.0.0', 'InvalidParameterValue'],
    [undefined, 'MissingParameter'],
  ] as const) {
    test(`a VPC of ${CidrBlock} is refused`, async (t) => {
      const { ec2: client } = await startCloud(t);
      await assert.rejects(client.send(new ec2.CreateVpcCommand({ CidrBlock })), { name });
    });
  }
});

suite('subnets', () => {
  for (const [CidrBlock, AvailabilityZone, name] of [
    ['10.0.1.128/25', 'us-east-1a', 'InvalidSubnet.Conflict'],
    ['10.1.0.0/24', 'us-east-1a', 'InvalidSubnet.Range'],
    ['10.0.0.0/15', 'us-east-1a', 'InvalidSubnet.Range'],
    ['10.0.3.0/29', 'us-east-1a', 'InvalidSubnet.Range'],
    ['10.0.3.0/24', 'us-west-2a', 'InvalidParameterValue'],
  ] as const) {
    test(`a subnet of ${CidrBlock} in ${AvailabilityZone} is refused`, async (t) => {
      const { ec2: client, vpcId: VpcId } = await start(t);
      const command = new ec2.CreateSubnetCommand({ VpcId, CidrBlock, AvailabilityZone });
      await assert.rejects(client.send(command), { name });
    });
  }

  test('are deleted only when no interface is in them', async (t) => {
    const lab = await start(t);
    const eni = await createInterface(lab, lab.subnetId);
    const remove = () => lab.ec2.send(new ec2.DeleteSubnetCommand({ SubnetId: lab.subnetId }));
    await assert.rejects(remove(), { name: 'DependencyViolation', message: new RegExp(eni) });
    await lab.ec2.send(new ec2.DeleteNetworkInterfaceCommand({ NetworkInterfaceId: eni }));
    await remove();
    await assert.rejects(remove(), { name: 'InvalidSubnetID.NotFound' });
  });

  test('are found by zone and by tag', async (t) => {
    const { ec2: client, subnetId, otherSubnetId } = await start(t);
    await client.send(
      new ec2.CreateTagsCommand({
        Resources: [subnetId],
        Tags: [{ Key: 'kubernetes.io/role/cni', Value: '1' }],
      }),
    );
    const find = async (Name: string, ...Values: string[]) =>
      (await client.send(new ec2.DescribeSubnetsCommand({ Filters: [{ Name, Values }] }))).Subnets!.map(
        ({ SubnetId }) => SubnetId,
      );
    assert.deepEqual(await find('availability-zone', 'us-east-1b'), [otherSubnetId]);
    assert.deepEqual(await find('tag:kubernetes.io/role/cni', '1'), [subnetId]);
    assert.deepEqual(await find('tag-key', 'kubernetes.io/*'), [subnetId]);
  });
});

suite('route tables', () => {
  const createTable = async ({ ec2: client, vpcId: VpcId }: Lab) =>
    (await client.send(new ec2.CreateRouteTableCommand({ VpcId }))).RouteTable!.RouteTableId!;
  const associate = async ({ ec2: client }: Lab, RouteTableId: string, SubnetId: string) =>
    (await client.send(new ec2.AssociateRouteTableCommand({ RouteTableId, SubnetId }))).AssociationId!;

  test('a subnet is of the main table until it is associated with another', async (t) => {
    const lab = await start(t);
    const main = routeTableOf(lab.cloud.state, lab.subnetId)!.id;
    const [first, second] = [await createTable(lab), await createTable(lab)];
    const AssociationId = await associate(lab, first, lab.subnetId);
    assert.equal(routeTableOf(lab.cloud.state, lab.subnetId)!.id, first);
    assert.equal(routeTableOf(lab.cloud.state, lab.otherSubnetId)!.id, main);
    await assert.rejects(associate(lab, second, lab.subnetId), { name: 'Resource.AlreadyAssociated' });
    const { NewAssociationId } = await lab.ec2.send(
      new ec2.ReplaceRouteTableAssociationCommand({ AssociationId, RouteTableId: second }),
    );
    assert.equal(routeTableOf(lab.cloud.state, lab.subnetId)!.id, second);
    const remove = () => lab.ec2.send(new ec2.DeleteRouteTableCommand({ RouteTableId: second }));
    await assert.rejects(remove(), { name: 'DependencyViolation', message: new RegExp(NewAssociationId!) });
    await lab.ec2.send(new ec2.DisassociateRouteTableCommand({ AssociationId: NewAssociationId! }));
    await remove();
    assert.equal(routeTableOf(lab.cloud.state, lab.subnetId)!.id, main);
    // The main association moves, and with it every subnet that has no other.
    const mainAssociation = lab.cloud.state.routeTables[main]!.mainAssociationId!;
    await assert.rejects(
      lab.ec2.send(new ec2.DisassociateRouteTableCommand({ AssociationId: mainAssociation })),
      { name: 'InvalidParameterValue' },
    );
    await lab.ec2.send(
      new ec2.ReplaceRouteTableAssociationCommand({ AssociationId: mainAssociation, RouteTableId: first }),
    );
    assert.equal(routeTableOf(lab.cloud.state, lab.otherSubnetId)!.id, first);
  });

  test('routes lead to gateways and interfaces, and are blackholes when those are gone', async (t) => {
    const lab = await start(t);
    const RouteTableId = await createTable(lab);
    const eni = await createInterface(lab, lab.subnetId);
    const [GatewayId] = Object.keys(lab.cloud.state.internetGateways) as [string];
    const create = (DestinationCidrBlock: string, target: object) =>
      lab.ec2.send(new ec2.CreateRouteCommand({ RouteTableId, DestinationCidrBlock, ...target }));
    await create('0.0.0.0/0', { GatewayId });
    await create('172.16.0.0/12', { NetworkInterfaceId: eni });
    const describe = async () => {
      const { RouteTables } = await lab.ec2.send(
        new ec2.DescribeRouteTablesCommand({ RouteTableIds: [RouteTableId] }),
      );
      return RouteTables![0]!.Routes!.map((route) => [
        route.DestinationCidrBlock,
        route.GatewayId ?? route.NetworkInterfaceId,
        route.State,
      ]);
    };
    assert.deepEqual(await describe(), [
      ['10.0.0.0/16', 'local', 'active'],
      ['0.0.0.0/0', GatewayId, 'active'],
      ['172.16.0.0/12', eni, 'blackhole'],
    ]);
    await assert.rejects(create('0.0.0.0/0', { GatewayId }), { name: 'RouteAlreadyExists' });
    await assert.rejects(create('10.0.3.0/24', { GatewayId }), { name: 'InvalidParameterValue' });
    await assert.rejects(create('1.0.0.0/8', {}), { name: 'InvalidParameterCombination' });
    await assert.rejects(create('1.0.0.0/8', { GatewayId: 'igw-1' }), {
      name: 'InvalidInternetGatewayID.NotFound',
    });
    await lab.ec2.send(
      new ec2.DetachInternetGatewayCommand({ VpcId: lab.vpcId, InternetGatewayId: GatewayId }),
    );
    assert.equal((await describe())[1]![2], 'blackhole');

    const change = { RouteTableId, DestinationCidrBlock: '0.0.0.0/0' };
    await lab.ec2.send(new ec2.ReplaceRouteCommand({ ...change, NetworkInterfaceId: eni }));
    assert.equal((await describe())[1]![1], eni);
    await lab.ec2.send(new ec2.DeleteRouteCommand(change));
    await assert.rejects(lab.ec2.send(new ec2.DeleteRouteCommand(change)), { name: 'InvalidRoute.NotFound' });
    await assert.rejects(
      lab.ec2.send(new ec2.DeleteRouteCommand({ RouteTableId, DestinationCidrBlock: '10.0.0.0/16' })),
      { name: 'InvalidParameterValue' },
    );
  });
});
