import assert from 'node:assert/strict';
import { suite, type TestContext, test } from 'node:test';
import {
  AssignPrivateIpAddressesCommand,
  AttachNetworkInterfaceCommand,
  CreateSecurityGroupCommand,
  DeleteNetworkInterfaceCommand,
  DescribeNetworkInterfacesCommand,
  DescribeSubnetsCommand,
  DetachNetworkInterfaceCommand,
  ModifyNetworkInterfaceAttributeCommand,
  UnassignPrivateIpAddressesCommand,
} from '@aws-sdk/client-ec2';
import { buildNetwork, createInterface, launch, startCloud } from '../cloud.fixture.ts';
import type { CloudOptions } from '../cloud.ts';

async function start(t: TestContext, options: Partial<CloudOptions> = {}) {
  const lab = await startCloud(t, options);
  return { ...lab, ...(await buildNetwork(lab.ec2)) };
}

type Lab = Awaited<ReturnType<typeof start>>;

const eniOf = async ({ ec2 }: Lab, id: string) =>
  (await ec2.send(new DescribeNetworkInterfacesCommand({ NetworkInterfaceIds: [id] })))
    .NetworkInterfaces![0]!;

const attach = async ({ ec2 }: Lab, NetworkInterfaceId: string, InstanceId: string, DeviceIndex: number) =>
  (await ec2.send(new AttachNetworkInterfaceCommand({ NetworkInterfaceId, InstanceId, DeviceIndex })))
    .AttachmentId!;

suite('network interfaces', () => {
  test('are made with addresses, prefixes, groups, tags and a description', async (t) => {
    const lab = await start(t);
    const { GroupId } = await lab.ec2.send(
      new CreateSecurityGroupCommand({ VpcId: lab.vpcId, GroupName: 'pods', Description: 'pods' }),
    );
    const id = await createInterface(lab, lab.subnetId, {
      Description: 'aws-K8S-i-1',
      Groups: [GroupId!],
      PrivateIpAddress: '10.0.1.77',
      SecondaryPrivateIpAddressCount: 3,
      TagSpecifications: [
        {
          ResourceType: 'network-interface',
          Tags: [{ Key: 'node.k8s.amazonaws.com/instance_id', Value: 'i-1' }],
        },
      ],
    });
    const eni = await eniOf(lab, id);
    assert.match(id, /^eni-[0-9a-f]{17}$/);
    assert.match(eni.MacAddress!, /^02(:[0-9a-f]{2}){5}$/);
    assert.deepEqual(
      eni.PrivateIpAddresses!.map(({ PrivateIpAddress, Primary }) => [PrivateIpAddress, Primary]),
      [
        ['10.0.1.77', true],
        ['10.0.1.4', false],
        ['10.0.1.5', false],
        ['10.0.1.6', false],
      ],
    );
    assert.equal(eni.PrivateDnsName, 'ip-10-0-1-77.ec2.internal');
    assert.deepEqual(eni.Groups, [{ GroupId, GroupName: 'pods' }]);
    assert.deepEqual(eni.TagSet, [{ Key: 'node.k8s.amazonaws.com/instance_id', Value: 'i-1' }]);
    assert.deepEqual(
      [eni.Status, eni.Description, eni.SourceDestCheck, eni.AvailabilityZone, eni.VpcId],
      ['available', 'aws-K8S-i-1', true, 'us-east-1a', lab.vpcId],
    );
    const prefixed = await eniOf(lab, await createInterface(lab, lab.subnetId, { Ipv4PrefixCount: 2 }));
    assert.deepEqual(prefixed.Ipv4Prefixes, [{ Ipv4Prefix: '10.0.1.16/28' }, { Ipv4Prefix: '10.0.1.32/28' }]);
    const { Subnets } = await lab.ec2.send(new DescribeSubnetsCommand({ SubnetIds: [lab.subnetId] }));
    assert.equal(Subnets![0]!.AvailableIpAddressCount, 251 - 4 - 1 - 32);
  });

  test('the same client token makes one interface', async (t) => {
    const lab = await start(t);
    const ids = [
      await createInterface(lab, lab.subnetId, { ClientToken: 'one' }),
      await createInterface(lab, lab.subnetId, { ClientToken: 'one' }),
      await createInterface(lab, lab.subnetId, { ClientToken: 'two' }),
    ];
    assert.equal(ids[0], ids[1]);
    assert.equal(Object.keys(lab.cloud.state.networkInterfaces).length, 2);
  });

  test('an attachment takes the delay, and so does a detachment', async (t) => {
    const lab = await start(t, { settings: { attachDelayMs: 5000 } });
    const instanceId = await launch(lab, lab.subnetId);
    const id = await createInterface(lab, lab.subnetId);
    const statusOf = async () => (await eniOf(lab, id)).Attachment?.Status;

    const attachmentId = await attach(lab, id, instanceId, 1);
    await lab.clock.advance(4999);
    assert.equal(await statusOf(), 'attaching');
    assert.equal((await eniOf(lab, id)).Status, 'in-use');
    await lab.clock.advance(1);
    assert.equal(await statusOf(), 'attached');
    assert.equal(lab.fabric.synced.at(-1)!.networkInterfaces[id]!.attachment!.status, 'attached');

    const inUse = {
      name: 'InvalidParameterValue',
      message: `Network interface '${id}' is currently in use.`,
    };
    const remove = () => lab.ec2.send(new DeleteNetworkInterfaceCommand({ NetworkInterfaceId: id }));
    await assert.rejects(remove(), inUse);
    await lab.ec2.send(new DetachNetworkInterfaceCommand({ AttachmentId: attachmentId }));
    assert.equal(await statusOf(), 'detaching');
    await assert.rejects(remove(), inUse);
    await lab.clock.advance(5000);
    assert.equal((await eniOf(lab, id)).Status, 'available');
    await remove();
    await assert.rejects(eniOf(lab, id), {
      name: 'InvalidNetworkInterfaceID.NotFound',
      message: `The networkInterface ID '${id}' does not exist`,
    });
  });

  test('an instance takes as many interfaces as its type, one at each device index', async (t) => {
    const lab = await start(t);
    const instanceId = await launch(lab, lab.subnetId);
    const make = () => createInterface(lab, lab.subnetId);
    await attach(lab, await make(), instanceId, 1);
    await assert.rejects(attach(lab, await make(), instanceId, 1), {
      name: 'InvalidParameterValue',
      message: `Instance '${instanceId}' already has an interface attached at device index '1'.`,
    });
    await attach(lab, await make(), instanceId, 2);
    await assert.rejects(attach(lab, await make(), instanceId, 3), {
      name: 'AttachmentLimitExceeded',
      message: 'Interface count 4 exceeds the limit for t3.medium',
    });
    const elsewhere = await createInterface(lab, lab.otherSubnetId);
    await assert.rejects(attach(lab, elsewhere, instanceId, 3), { name: 'InvalidParameterCombination' });
    const [primary] = Object.values(lab.cloud.state.networkInterfaces).filter((eni) => eni.attachment);
    await assert.rejects(
      lab.ec2.send(new DetachNetworkInterfaceCommand({ AttachmentId: primary!.attachment!.id })),
      { name: 'OperationNotPermitted' },
    );
  });

  test('DeleteOnTermination, source check, groups and description are modified', async (t) => {
    const lab = await start(t);
    const instanceId = await launch(lab, lab.subnetId);
    const NetworkInterfaceId = await createInterface(lab, lab.subnetId);
    const AttachmentId = await attach(lab, NetworkInterfaceId, instanceId, 1);
    const modify = (more: object) =>
      lab.ec2.send(new ModifyNetworkInterfaceAttributeCommand({ NetworkInterfaceId, ...more }));
    await modify({ Attachment: { AttachmentId, DeleteOnTermination: true } });
    await modify({ SourceDestCheck: { Value: false } });
    await modify({ Description: { Value: 'new' } });
    const eni = await eniOf(lab, NetworkInterfaceId);
    assert.deepEqual(
      [eni.Attachment!.DeleteOnTermination, eni.SourceDestCheck, eni.Description],
      [true, false, 'new'],
    );
    await assert.rejects(modify({ Groups: ['sg-00000000000000000'] }), { name: 'InvalidGroup.NotFound' });
    await assert.rejects(
      modify({ Attachment: { AttachmentId: 'eni-attach-1', DeleteOnTermination: true } }),
      {
        name: 'InvalidAttachmentID.NotFound',
      },
    );
  });

  test('the account has a limit of interfaces', async (t) => {
    const lab = await start(t, { quotas: { networkInterfaces: 1 } });
    await createInterface(lab, lab.subnetId);
    await assert.rejects(createInterface(lab, lab.subnetId), { name: 'NetworkInterfaceLimitExceeded' });
  });

  for (const [what, input, name] of [
    ['a reserved address', { PrivateIpAddress: '10.0.1.3' }, 'InvalidParameterValue'],
    ['the broadcast address', { PrivateIpAddress: '10.0.1.255' }, 'InvalidParameterValue'],
    ['an address of another subnet', { PrivateIpAddress: '10.0.2.9' }, 'InvalidParameterValue'],
    ['what is no address', { PrivateIpAddress: '10.0.1' }, 'InvalidParameterValue'],
    ['an unaligned prefix', { Ipv4Prefixes: [{ Ipv4Prefix: '10.0.1.24/28' }] }, 'InvalidParameterValue'],
    [
      'a prefix with reserved addresses',
      { Ipv4Prefixes: [{ Ipv4Prefix: '10.0.1.0/28' }] },
      'InvalidIPAddress.InUse',
    ],
    [
      'a count and prefixes',
      { SecondaryPrivateIpAddressCount: 1, Ipv4PrefixCount: 1 },
      'InvalidParameterCombination',
    ],
    ['IPv6', { Ipv6AddressCount: 1 }, 'InvalidParameterValue'],
    ['more than any type has', { SecondaryPrivateIpAddressCount: 50 }, 'PrivateIpAddressLimitExceeded'],
    ['another kind', { InterfaceType: 'efa' as const }, 'InvalidParameterValue'],
  ] as const) {
    test(`an interface with ${what} is refused, and nothing is left of it`, async (t) => {
      const lab = await start(t);
      const before = lab.cloud.state;
      await assert.rejects(createInterface(lab, lab.subnetId, input as object), { name });
      assert.equal(lab.cloud.state, before);
    });
  }
});

suite('private addresses', () => {
  const assign = ({ ec2 }: Lab, NetworkInterfaceId: string, more: object) =>
    ec2.send(new AssignPrivateIpAddressesCommand({ NetworkInterfaceId, ...more }));
  const unassign = ({ ec2 }: Lab, NetworkInterfaceId: string, more: object) =>
    ec2.send(new UnassignPrivateIpAddressesCommand({ NetworkInterfaceId, ...more }));

  test('are assigned up to the limit of the instance type, and freed', async (t) => {
    const lab = await start(t);
    const instanceId = await launch(lab, lab.subnetId);
    const id = await createInterface(lab, lab.subnetId);
    await attach(lab, id, instanceId, 1);
    const { AssignedPrivateIpAddresses } = await assign(lab, id, { SecondaryPrivateIpAddressCount: 4 });
    assert.deepEqual(
      AssignedPrivateIpAddresses!.map(({ PrivateIpAddress }) => PrivateIpAddress),
      ['10.0.1.6', '10.0.1.7', '10.0.1.8', '10.0.1.9'],
    );
    await assign(lab, id, { PrivateIpAddresses: ['10.0.1.200'] });
    const full = { name: 'PrivateIpAddressLimitExceeded' };
    await assert.rejects(assign(lab, id, { SecondaryPrivateIpAddressCount: 1 }), full);
    await assert.rejects(assign(lab, id, { Ipv4PrefixCount: 1 }), full);
    await unassign(lab, id, { PrivateIpAddresses: ['10.0.1.6', '10.0.1.200'] });
    // What was just freed is not given out again at once.
    const again = await assign(lab, id, { SecondaryPrivateIpAddressCount: 1 });
    assert.deepEqual(again.AssignedPrivateIpAddresses, [{ PrivateIpAddress: '10.0.1.10' }]);
    await assert.rejects(unassign(lab, id, { PrivateIpAddresses: ['10.0.1.6'] }), {
      name: 'InvalidParameterValue',
    });
    await assert.rejects(unassign(lab, id, { PrivateIpAddresses: ['10.0.1.5'] }), { message: /primary/ });
  });

  test('move to another interface only when that is asked for', async (t) => {
    const lab = await start(t);
    const [from, to] = [
      await createInterface(lab, lab.subnetId, { SecondaryPrivateIpAddressCount: 1 }),
      await createInterface(lab, lab.subnetId),
    ];
    const [address] = lab.cloud.state.networkInterfaces[from]!.secondaryIps;
    const inUse = { name: 'InvalidIPAddress.InUse', message: `Address ${address} is in use.` };
    await assert.rejects(assign(lab, to, { PrivateIpAddresses: [address] }), inUse);
    await assign(lab, to, { PrivateIpAddresses: [address], AllowReassignment: true });
    // Once more is no error, and no second address.
    await assign(lab, to, { PrivateIpAddresses: [address], AllowReassignment: true });
    const { networkInterfaces: enis } = lab.cloud.state;
    assert.deepEqual([enis[from]!.secondaryIps, enis[to]!.secondaryIps], [[], [address]]);
    const { primaryIp } = enis[from]!;
    await assert.rejects(assign(lab, to, { PrivateIpAddresses: [primaryIp], AllowReassignment: true }), {
      name: 'InvalidIPAddress.InUse',
    });
  });

  test('a full subnet says so, for addresses and for prefixes', async (t) => {
    const lab = await startCloud(t);
    const { subnetId } = await buildNetwork(lab.ec2, ['10.0.1.0/27', '10.0.2.0/27']);
    const first = await createInterface(lab, subnetId, { SecondaryPrivateIpAddressCount: 12 });
    // 14 addresses are free, but no whole /28: its second half has the broadcast address.
    await assert.rejects(assign({ ...lab } as Lab, first, { Ipv4PrefixCount: 1 }), {
      name: 'InsufficientCidrBlocks',
    });
    await assign({ ...lab } as Lab, first, { SecondaryPrivateIpAddressCount: 14 });
    const full = { name: 'InsufficientFreeAddressesInSubnet' };
    await assert.rejects(assign({ ...lab } as Lab, first, { SecondaryPrivateIpAddressCount: 1 }), full);
    await assert.rejects(createInterface(lab, subnetId), full);
  });

  test('prefixes need Nitro', async (t) => {
    const lab = await start(t);
    const instanceId = await launch(lab, lab.subnetId, { InstanceType: 'm4.large' });
    const [eni] = Object.values(lab.cloud.state.networkInterfaces).filter(
      ({ attachment }) => attachment?.instanceId === instanceId,
    );
    await assert.rejects(assign(lab, eni!.id, { Ipv4PrefixCount: 1 }), { name: 'UnsupportedOperation' });
    const NetworkInterfaceId = await createInterface(lab, lab.subnetId, { Ipv4PrefixCount: 1 });
    await assert.rejects(
      lab.ec2.send(
        new AttachNetworkInterfaceCommand({ NetworkInterfaceId, InstanceId: instanceId, DeviceIndex: 1 }),
      ),
      { name: 'UnsupportedOperation' },
    );
  });

  test('a request for nothing is refused', async (t) => {
    const lab = await start(t);
    const id = await createInterface(lab, lab.subnetId);
    await assert.rejects(assign(lab, id, {}), { name: 'MissingParameter' });
    await assert.rejects(unassign(lab, id, {}), { name: 'MissingParameter' });
  });
});

test('describing goes by filters and pages', async (t) => {
  const lab = await start(t);
  const ids: string[] = [];
  for (let count = 0; count < 12; count++) {
    ids.push(
      await createInterface(lab, lab.subnetId, {
        Description: count % 2 ? 'odd' : 'even',
        TagSpecifications: [
          { ResourceType: 'network-interface', Tags: [{ Key: 'number', Value: `n${count}` }] },
        ],
      }),
    );
  }
  const find = async (Name: string, ...Values: string[]) =>
    (await lab.ec2.send(new DescribeNetworkInterfacesCommand({ Filters: [{ Name, Values }] })))
      .NetworkInterfaces!.length;
  assert.equal(await find('description', 'odd'), 6);
  assert.equal(await find('description', 'o?d', 'even'), 12);
  assert.equal(await find('tag:number', 'n1*'), 3);
  assert.equal(await find('tag-key', 'number'), 12);
  assert.equal(await find('tag:number', 'n1\\*'), 0);
  assert.equal(await find('attachment.instance-id', '*'), 0);
  assert.equal(await find('addresses.private-ip-address', '10.0.1.4', '10.0.1.5'), 2);
  await assert.rejects(find('colour', 'red'), {
    name: 'InvalidParameterValue',
    message: "The filter 'colour' is invalid",
  });

  const pages: string[][] = [];
  let NextToken: string | undefined;
  do {
    const page = await lab.ec2.send(
      new DescribeNetworkInterfacesCommand({ MaxResults: 5, ...(NextToken && { NextToken }) }),
    );
    pages.push(page.NetworkInterfaces!.map((eni) => eni.NetworkInterfaceId!));
    ({ NextToken } = page);
  } while (NextToken);
  assert.deepEqual(
    pages.map(({ length }) => length),
    [5, 5, 2],
  );
  assert.deepEqual(pages.flat().sort(), ids.toSorted());
  const describe = (input: object) => lab.ec2.send(new DescribeNetworkInterfacesCommand(input));
  await assert.rejects(describe({ MaxResults: 4 }), { name: 'InvalidParameterValue' });
  await assert.rejects(describe({ NextToken: 'x' }), { name: 'InvalidParameterValue' });
  await assert.rejects(describe({ MaxResults: 5, NetworkInterfaceIds: [ids[0]] }), {
    name: 'InvalidParameterCombination',
  });
});
