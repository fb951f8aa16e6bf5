import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import * as ec2 from '@aws-sdk/client-ec2';
import { buildNetwork, createInterface, launch, startCloud } from '../cloud.fixture.ts';
import type { Settings } from '../settings.ts';

async function start(t: TestContext, settings: Partial<Settings> = {}) {
  const lab = await startCloud(t, { settings });
  return { ...lab, ...(await buildNetwork(lab.ec2)) };
}

type Lab = Awaited<ReturnType<typeof start>>;

const instanceOf = async ({ ec2: client }: Lab, id: string) =>
  (await client.send(new ec2.DescribeInstancesCommand({ InstanceIds: [id] }))).Reservations![0]!
    .Instances![0]!;

const IMAGE = { ImageId: 'ami-1', InstanceType: 't3.medium', MinCount: 1, MaxCount: 1 } as const;

suite('instances', () => {
  test('start with a primary interface, and a public address where the subnet gives one', async (t) => {
    const lab = await start(t, { launchDelayMs: 3000 });
    const id = await launch(lab, lab.subnetId, {
      SecurityGroupIds: [lab.groupId],
      TagSpecifications: [{ ResourceType: 'instance', Tags: [{ Key: 'Name', Value: 'node' }] }],
    });
    assert.equal((await instanceOf(lab, id)).State!.Name, 'pending');
    await lab.clock.advance(3000);
    const instance = await instanceOf(lab, id);
    const [eni] = instance.NetworkInterfaces!;
    assert.match(id, /^i-[0-9a-f]{17}$/);
    assert.deepEqual(instance.State, { Code: 16, Name: 'running' });
    assert.deepEqual(
      [instance.PrivateIpAddress, instance.PrivateDnsName, instance.PublicIpAddress, instance.PublicDnsName],
      ['10.0.1.4', 'ip-10-0-1-4.ec2.internal', '203.0.113.1', 'ec2-203-0-113-1.compute-1.amazonaws.com'],
    );
    assert.deepEqual([eni!.Attachment!.Status, eni!.Attachment!.DeviceIndex], ['attached', 0]);
    assert.equal(eni!.Association!.IpOwnerId, 'amazon');
    assert.deepEqual(instance.Tags, [{ Key: 'Name', Value: 'node' }]);
    assert.equal(instance.MetadataOptions!.HttpTokens, 'required');
    const elsewhere = await instanceOf(lab, await launch(lab, lab.otherSubnetId));
    assert.equal(elsewhere.PublicIpAddress, undefined);
  });

  test('several are of one reservation, and the same client token starts them once', async (t) => {
    const lab = await start(t);
    const run = () =>
      lab.ec2.send(
        new ec2.RunInstancesCommand({ ...IMAGE, MaxCount: 3, SubnetId: lab.subnetId, ClientToken: 'once' }),
      );
    const [first, again] = [await run(), await run()];
    assert.equal(first.Instances!.length, 3);
    assert.deepEqual(
      again.Instances!.map(({ InstanceId }) => InstanceId),
      first.Instances!.map(({ InstanceId }) => InstanceId),
    );
    assert.deepEqual(
      first.Instances!.map(({ AmiLaunchIndex }) => AmiLaunchIndex),
      [0, 1, 2],
    );
    const { Reservations } = await lab.ec2.send(new ec2.DescribeInstancesCommand({}));
    assert.equal(Reservations!.length, 1);
  });

  test('take interfaces that are listed, with prefixes', async (t) => {
    const lab = await start(t);
    const ready = await createInterface(lab, lab.subnetId);
    const { Instances } = await lab.ec2.send(
      new ec2.RunInstancesCommand({
        ...IMAGE,
        NetworkInterfaces: [
          { DeviceIndex: 0, SubnetId: lab.subnetId, Ipv4PrefixCount: 1, AssociatePublicIpAddress: false },
          { DeviceIndex: 1, NetworkInterfaceId: ready },
        ],
      }),
    );
    const instance = Instances![0]!;
    assert.deepEqual(
      instance.NetworkInterfaces!.map((eni) => [
        eni.Attachment!.DeviceIndex,
        eni.Attachment!.DeleteOnTermination,
      ]),
      [
        [0, true],
        [1, false],
      ],
    );
    assert.equal(instance.NetworkInterfaces![0]!.Ipv4Prefixes!.length, 1);
    assert.equal(instance.PublicIpAddress, undefined);
  });

  test('end with what is to be deleted with them; the rest comes free', async (t) => {
    const lab = await start(t, { launchDelayMs: 1000 });
    const id = await launch(lab, lab.subnetId);
    await lab.clock.advance(1000);
    const kept = await createInterface(lab, lab.subnetId);
    await lab.ec2.send(
      new ec2.AttachNetworkInterfaceCommand({ NetworkInterfaceId: kept, InstanceId: id, DeviceIndex: 1 }),
    );
    const { TerminatingInstances } = await lab.ec2.send(
      new ec2.TerminateInstancesCommand({ InstanceIds: [id] }),
    );
    assert.equal(TerminatingInstances![0]!.CurrentState!.Name, 'shutting-down');
    assert.deepEqual(Object.values(lab.cloud.state.networkInterfaces)[0]!.publicIps, {});
    await lab.clock.advance(1000);
    assert.equal((await instanceOf(lab, id)).State!.Name, 'terminated');
    assert.deepEqual(Object.keys(lab.cloud.state.networkInterfaces), [kept]);
    assert.equal(lab.cloud.state.networkInterfaces[kept]!.attachment, undefined);
    // It can be described for an hour.
    await lab.clock.advance(3_600_000);
    assert.deepEqual(lab.cloud.state.instances, {});
  });

  test('have metadata options', async (t) => {
    const lab = await start(t);
    const InstanceId = await launch(lab, lab.subnetId);
    const modify = (more: object) =>
      lab.ec2.send(new ec2.ModifyInstanceMetadataOptionsCommand({ InstanceId, ...more }));
    const { InstanceMetadataOptions } = await modify({ HttpPutResponseHopLimit: 2, HttpTokens: 'optional' });
    assert.equal(InstanceMetadataOptions!.HttpPutResponseHopLimit, 2);
    assert.equal((await instanceOf(lab, InstanceId)).MetadataOptions!.HttpTokens, 'optional');
    await assert.rejects(modify({ HttpPutResponseHopLimit: 65 }), { name: 'InvalidParameterValue' });
    await assert.rejects(modify({ HttpTokens: 'sometimes' }), { name: 'InvalidParameterValue' });
  });

  test('have a source check, while there is one interface', async (t) => {
    const lab = await start(t);
    const InstanceId = await launch(lab, lab.subnetId);
    const modify = () =>
      lab.ec2.send(new ec2.ModifyInstanceAttributeCommand({ InstanceId, SourceDestCheck: { Value: false } }));
    await modify();
    assert.equal((await instanceOf(lab, InstanceId)).SourceDestCheck, false);
    const NetworkInterfaceId = await createInterface(lab, lab.subnetId);
    await lab.ec2.send(
      new ec2.AttachNetworkInterfaceCommand({ NetworkInterfaceId, InstanceId, DeviceIndex: 1 }),
    );
    await assert.rejects(modify(), { name: 'InvalidInstanceID' });
  });

  for (const [what, input, name] of [
    ['no image', { ImageId: undefined }, 'MissingParameter'],
    ['an unknown type', { InstanceType: 'q9.huge' }, 'InvalidParameterValue'],
    ['no subnet', { SubnetId: undefined }, 'MissingInput'],
    ['another zone', { Placement: { AvailabilityZone: 'us-east-1c' } }, 'InvalidParameterValue'],
    ['fewer at most than at least', { MinCount: 2 }, 'InvalidParameterValue'],
    [
      'tags of a resource that is not made',
      { TagSpecifications: [{ ResourceType: 'vpc' }] },
      'InvalidParameterValue',
    ],
  ] as const) {
    test(`with ${what} is refused`, async (t) => {
      const lab = await start(t);
      const command = new ec2.RunInstancesCommand({ ...IMAGE, SubnetId: lab.subnetId, ...(input as object) });
      await assert.rejects(lab.ec2.send(command), { name });
    });
  }

  test('the types have their limits', async (t) => {
    const { ec2: client } = await startCloud(t);
    const describe = async (...InstanceTypes: string[]) =>
      (
        await client.send(
          new ec2.DescribeInstanceTypesCommand({ InstanceTypes: InstanceTypes as ec2._InstanceType[] }),
        )
      ).InstanceTypes!;
    const [medium, trn] = await describe('t3.medium', 'trn1.32xlarge');
    assert.deepEqual(
      [
        medium!.Hypervisor,
        medium!.NetworkInfo!.MaximumNetworkInterfaces,
        medium!.NetworkInfo!.Ipv4AddressesPerInterface,
      ],
      ['nitro', 3, 6],
    );
    assert.deepEqual(
      [trn!.NetworkInfo!.MaximumNetworkCards, trn!.NetworkInfo!.NetworkCards![0]!.MaximumNetworkInterfaces],
      [8, 5],
    );
    await assert.rejects(describe('q9.huge'), {
      name: 'InvalidInstanceType',
      message: 'The following supplied instance types do not exist: [q9.huge]',
    });
    const all = [];
    for await (const page of ec2.paginateDescribeInstanceTypes({ client, pageSize: 100 }, {})) {
      all.push(...page.InstanceTypes!);
    }
    assert.ok(all.length > 100 && new Set(all.map(({ InstanceType }) => InstanceType)).size === all.length);
  });
});

suite('public addresses', () => {
  test('are allocated, associated, moved and released', async (t) => {
    const lab = await start(t);
    const { ec2: client } = lab;
    const { AllocationId, PublicIp } = await client.send(new ec2.AllocateAddressCommand({ Domain: 'vpc' }));
    const InstanceId = await launch(lab, lab.subnetId);
    const lent = (await instanceOf(lab, InstanceId)).PublicIpAddress;
    assert.notEqual(lent, PublicIp);
    await client.send(new ec2.AssociateAddressCommand({ AllocationId, InstanceId }));
    assert.equal((await instanceOf(lab, InstanceId)).PublicIpAddress, PublicIp);
    const release = () => client.send(new ec2.ReleaseAddressCommand({ AllocationId }));
    await assert.rejects(release(), { name: 'InvalidIPAddress.InUse' });

    const NetworkInterfaceId = await createInterface(lab, lab.subnetId, {
      SecondaryPrivateIpAddressCount: 1,
    });
    const [PrivateIpAddress] = lab.cloud.state.networkInterfaces[NetworkInterfaceId]!.secondaryIps;
    const move = { AllocationId, NetworkInterfaceId, PrivateIpAddress } as const;
    await assert.rejects(
      client.send(new ec2.AssociateAddressCommand({ ...move, AllowReassociation: false })),
      { name: 'Resource.AlreadyAssociated' },
    );
    await client.send(new ec2.AssociateAddressCommand(move));
    assert.equal((await instanceOf(lab, InstanceId)).PublicIpAddress, undefined);
    const describe = async () =>
      (await client.send(new ec2.DescribeAddressesCommand({ PublicIps: [PublicIp!] }))).Addresses![0]!;
    assert.deepEqual(
      [(await describe()).NetworkInterfaceId, (await describe()).PrivateIpAddress],
      [NetworkInterfaceId, PrivateIpAddress],
    );
    // It goes with the private address.
    await client.send(
      new ec2.UnassignPrivateIpAddressesCommand({
        NetworkInterfaceId,
        PrivateIpAddresses: [PrivateIpAddress!],
      }),
    );
    assert.equal((await describe()).AssociationId, undefined);
    await release();
    await assert.rejects(release(), { name: 'InvalidAllocationID.NotFound' });
  });

  test('need an internet gateway, and there are five', async (t) => {
    const lab = await start(t);
    const allocate = async () => (await lab.ec2.send(new ec2.AllocateAddressCommand({}))).AllocationId;
    const AllocationId = await allocate();
    const [InternetGatewayId] = Object.keys(lab.cloud.state.internetGateways) as [string];
    await lab.ec2.send(new ec2.DetachInternetGatewayCommand({ VpcId: lab.vpcId, InternetGatewayId }));
    const NetworkInterfaceId = await createInterface(lab, lab.subnetId);
    await assert.rejects(
      lab.ec2.send(new ec2.AssociateAddressCommand({ AllocationId, NetworkInterfaceId })),
      { name: 'Gateway.NotAttached' },
    );
    for (let index = 1; index < 5; index++) await allocate();
    await assert.rejects(allocate(), { name: 'AddressLimitExceeded' });
  });

  test('a NAT gateway has an interface and an Elastic IP address until it is deleted', async (t) => {
    const lab = await start(t, { natGatewayDelayMs: 2000 });
    const { AllocationId, PublicIp } = await lab.ec2.send(new ec2.AllocateAddressCommand({}));
    const { NatGateway } = await lab.ec2.send(
      new ec2.CreateNatGatewayCommand({ SubnetId: lab.subnetId, AllocationId }),
    );
    const NatGatewayId = NatGateway!.NatGatewayId!;
    const describe = async () =>
      (await lab.ec2.send(new ec2.DescribeNatGatewaysCommand({ NatGatewayIds: [NatGatewayId] })))
        .NatGateways![0]!;
    assert.equal((await describe()).State, 'pending');
    await lab.clock.advance(2000);
    const gateway = await describe();
    assert.equal(gateway.State, 'available');
    assert.equal(gateway.NatGatewayAddresses![0]!.PublicIp, PublicIp);
    const { NetworkInterfaceId } = gateway.NatGatewayAddresses![0]!;
    const eni = lab.cloud.state.networkInterfaces[NetworkInterfaceId!]!;
    assert.deepEqual([eni.kind, eni.sourceDestCheck], ['nat_gateway', false]);
    await assert.rejects(
      lab.ec2.send(new ec2.DeleteNetworkInterfaceCommand({ NetworkInterfaceId: eni.id })),
      { name: 'InvalidParameterValue' },
    );
    await assert.rejects(lab.ec2.send(new ec2.ReleaseAddressCommand({ AllocationId })), {
      name: 'InvalidIPAddress.InUse',
    });
    await lab.ec2.send(new ec2.DeleteNatGatewayCommand({ NatGatewayId }));
    await lab.clock.advance(2000);
    assert.equal((await describe()).State, 'deleted');
    assert.deepEqual(lab.cloud.state.networkInterfaces, {});
    await lab.ec2.send(new ec2.ReleaseAddressCommand({ AllocationId }));
  });
});

suite('tags', () => {
  test('are set, described and removed on every kind of resource', async (t) => {
    const lab = await start(t);
    const { state } = lab.cloud;
    const Resources = [
      lab.vpcId,
      lab.subnetId,
      lab.groupId,
      state.securityGroups[lab.groupId]!.ingress[0]!.id,
      ...Object.keys(state.internetGateways),
      ...Object.keys(state.routeTables),
      await createInterface(lab, lab.subnetId),
      await launch(lab, lab.subnetId),
    ];
    const Tags = [
      { Key: 'team', Value: 'net' },
      { Key: 'empty', Value: '' },
    ];
    await lab.ec2.send(new ec2.CreateTagsCommand({ Resources, Tags }));
    const describe = async () =>
      (await lab.ec2.send(new ec2.DescribeTagsCommand({ Filters: [{ Name: 'key', Values: ['team'] }] })))
        .Tags!;
    assert.deepEqual(
      (await describe()).map(({ ResourceId }) => ResourceId).sort(),
      Resources.filter((id) => !id.startsWith('sgr-')).sort(),
    );
    await lab.ec2.send(new ec2.DeleteTagsCommand({ Resources, Tags: [{ Key: 'team', Value: 'other' }] }));
    assert.equal((await describe()).length, 7);
    await lab.ec2.send(new ec2.DeleteTagsCommand({ Resources, Tags: [{ Key: 'team' }] }));
    assert.equal((await describe()).length, 0);
    assert.deepEqual(lab.cloud.state.vpcs[lab.vpcId]!.tags, { empty: '' });
  });

  for (const [what, Tags, name] of [
    ['a reserved key', [{ Key: 'aws:x', Value: '1' }], 'InvalidParameterValue'],
    ['a long key', [{ Key: 'x'.repeat(129), Value: '1' }], 'InvalidParameterValue'],
    ['a long value', [{ Key: 'x', Value: 'x'.repeat(257) }], 'InvalidParameterValue'],
    ['no key', [{ Value: '1' }], 'MissingParameter'],
    [
      '51 tags',
      Array.from({ length: 51 }, (_, index) => ({ Key: `k${index}`, Value: '' })),
      'TagLimitExceeded',
    ],
  ] as const) {
    test(`${what} is refused`, async (t) => {
      const { ec2: client, vpcId } = await start(t);
      await assert.rejects(client.send(new ec2.CreateTagsCommand({ Resources: [vpcId], Tags: [...Tags] })), {
        name,
      });
    });
  }
});
