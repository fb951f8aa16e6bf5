import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as ec2 from '@aws-sdk/client-ec2';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import { CREDENTIALS, NullFabric } from '../cloud.fixture.ts';
import { Cloud } from '../cloud.ts';
import { faultSchema } from '../faults.ts';
import {
  createListener,
  createLoadBalancer,
  createTargetGroup,
  forwardTo,
  startLab,
  type TestLab,
} from './elbv2.fixture.ts';
import { resolveLoadBalancer } from './names.ts';

const interfacesOf = async ({ ec2: client }: TestLab, arn: string) => {
  const description = `ELB ${arn.split(':loadbalancer/')[1]}`;
  const { NetworkInterfaces } = await client.send(
    new ec2.DescribeNetworkInterfacesCommand({ Filters: [{ Name: 'description', Values: [description] }] }),
  );
  return NetworkInterfaces!;
};

const statesOf = async ({ elb: client }: TestLab) =>
  (await client.send(new elb.DescribeLoadBalancersCommand({}))).LoadBalancers!.map(
    ({ State }) => State?.Code,
  );

suite('load balancers', () => {
  test('come to be active, with an interface in each zone that their security groups bind', async (t) => {
    const lab = await startLab(t, { settings: { loadBalancerDelayMs: 300 } });
    const made = await createLoadBalancer(lab, { Scheme: 'internet-facing' });
    assert.match(made.LoadBalancerArn!, /:loadbalancer\/app\/web\/[0-9a-f]{16}$/);
    assert.match(made.DNSName!, /^web-\d+\.us-east-1\.elb\.amazonaws\.com$/);
    assert.deepEqual(
      [made.Type, made.State?.Code, made.SecurityGroups],
      ['application', 'provisioning', [lab.groupId]],
    );
    assert.deepEqual(
      made.AvailabilityZones!.map(({ ZoneName, SubnetId }) => [ZoneName, SubnetId]),
      [
        ['us-east-1a', lab.subnetId],
        ['us-east-1b', lab.otherSubnetId],
      ],
    );
    await lab.clock.advance(299);
    assert.deepEqual(await statesOf(lab), ['provisioning']);
    await lab.clock.advance(1);
    assert.deepEqual(await statesOf(lab), ['active']);

    const enis = await interfacesOf(lab, made.LoadBalancerArn!);
    assert.equal(enis.length, 2);
    for (const eni of enis) {
      assert.deepEqual(
        [eni.RequesterManaged, eni.RequesterId, eni.Status, eni.InterfaceType, eni.Groups?.[0]?.GroupId],
        [true, 'amazon-elb', 'in-use', 'load_balancer', lab.groupId],
      );
      assert.match(eni.Association!.PublicIp!, /^203\.0\.113\./);
      const NetworkInterfaceId = eni.NetworkInterfaceId!;
      await assert.rejects(lab.ec2.send(new ec2.DeleteNetworkInterfaceCommand({ NetworkInterfaceId })));
    }
  });

  test('are the same when they are asked for twice, and refused when they are others', async (t) => {
    const lab = await startLab(t);
    const first = await createLoadBalancer(lab);
    const second = await createLoadBalancer(lab);
    assert.equal(second.LoadBalancerArn, first.LoadBalancerArn);
    await assert.rejects(createLoadBalancer(lab, { Scheme: 'internet-facing' }), {
      name: 'DuplicateLoadBalancerNameException',
    });
  });

  test('let go of their security groups and interfaces a while after they are deleted', async (t) => {
    const lab = await startLab(t, { settings: { loadBalancerReleaseDelayMs: 1000 } });
    const { GroupId } = await lab.ec2.send(
      new ec2.CreateSecurityGroupCommand({ VpcId: lab.vpcId, GroupName: 'web', Description: 'web' }),
    );
    const { LoadBalancerArn } = await createLoadBalancer(lab, { SecurityGroups: [GroupId!] });
    const listener = await createListener(lab, LoadBalancerArn!);
    await lab.elb.send(new elb.DeleteLoadBalancerCommand({ LoadBalancerArn }));
    await lab.elb.send(new elb.DeleteLoadBalancerCommand({ LoadBalancerArn }));
    assert.deepEqual(await statesOf(lab), []);
    await assert.rejects(lab.elb.send(new elb.DescribeListenersCommand({ ListenerArns: [listener] })), {
      name: 'ListenerNotFoundException',
    });
    const deleteGroup = () => lab.ec2.send(new ec2.DeleteSecurityGroupCommand({ GroupId }));
    await assert.rejects(deleteGroup(), { name: 'DependencyViolation' });
    await lab.clock.advance(1000);
    assert.deepEqual(await interfacesOf(lab, LoadBalancerArn!), []);
    await deleteGroup();
  });

  test('are kept by deletion protection', async (t) => {
    const lab = await startLab(t);
    const { LoadBalancerArn } = await createLoadBalancer(lab);
    const protect = (Value: string) =>
      lab.elb.send(
        new elb.ModifyLoadBalancerAttributesCommand({
          LoadBalancerArn,
          Attributes: [{ Key: 'deletion_protection.enabled', Value }],
        }),
      );
    const { Attributes } = await protect('true');
    assert.equal(Attributes!.find(({ Key }) => Key === 'idle_timeout.timeout_seconds')?.Value, '60');
    const remove = () => lab.elb.send(new elb.DeleteLoadBalancerCommand({ LoadBalancerArn }));
    await assert.rejects(remove(), {
      name: 'OperationNotPermittedException',
      message: /deletion protection/,
    });
    await protect('false');
    await remove();
    await assert.rejects(protect('true'), { name: 'LoadBalancerNotFoundException' });
  });

  test('of type network have the addresses of the user', async (t) => {
    const lab = await startLab(t);
    const { AllocationId, PublicIp } = await lab.ec2.send(new ec2.AllocateAddressCommand({ Domain: 'vpc' }));
    const facing = await createLoadBalancer(lab, {
      Name: 'facing',
      Type: 'network',
      Scheme: 'internet-facing',
      SubnetMappings: [{ SubnetId: lab.subnetId, AllocationId }],
    });
    assert.deepEqual(facing.AvailabilityZones![0]!.LoadBalancerAddresses, [
      { IpAddress: PublicIp, AllocationId },
    ]);
    assert.deepEqual(facing.SecurityGroups, []);
    const inner = await createLoadBalancer(lab, {
      Name: 'inner',
      Type: 'network',
      SubnetMappings: [{ SubnetId: lab.otherSubnetId, PrivateIPv4Address: '10.0.2.77' }],
    });
    assert.deepEqual(inner.AvailabilityZones![0]!.LoadBalancerAddresses, [
      { PrivateIPv4Address: '10.0.2.77' },
    ]);
    const { state } = lab.cloud;
    assert.deepEqual(resolveLoadBalancer(state, facing.DNSName!), [PublicIp]);
    assert.deepEqual(resolveLoadBalancer(state, inner.DNSName!), ['10.0.2.77']);
    const [eni] = await interfacesOf(lab, inner.LoadBalancerArn!);
    assert.deepEqual([eni!.InterfaceType, eni!.SourceDestCheck], ['network_load_balancer', false]);

    await assert.rejects(
      lab.elb.send(
        new elb.SetSecurityGroupsCommand({
          LoadBalancerArn: inner.LoadBalancerArn,
          SecurityGroups: [lab.groupId],
        }),
      ),
      { name: 'InvalidConfigurationRequestException' },
    );
    await assert.rejects(lab.ec2.send(new ec2.ReleaseAddressCommand({ AllocationId })), {
      name: 'InvalidIPAddress.InUse',
    });
    await lab.elb.send(new elb.DeleteLoadBalancerCommand({ LoadBalancerArn: facing.LoadBalancerArn }));
    await lab.clock.advance(0);
    await lab.ec2.send(new ec2.ReleaseAddressCommand({ AllocationId }));
  });

  test('take other subnets, and keep the interfaces of those that stay', async (t) => {
    const lab = await startLab(t);
    const { LoadBalancerArn } = await createLoadBalancer(lab, { Type: 'network', Subnets: [lab.subnetId] });
    const [before] = await interfacesOf(lab, LoadBalancerArn!);
    const set = (...Subnets: string[]) =>
      lab.elb.send(new elb.SetSubnetsCommand({ LoadBalancerArn, Subnets }));
    const { AvailabilityZones } = await set(lab.subnetId, lab.otherSubnetId);
    assert.deepEqual(
      AvailabilityZones!.map(({ ZoneName }) => ZoneName),
      ['us-east-1a', 'us-east-1b'],
    );
    const both = await interfacesOf(lab, LoadBalancerArn!);
    assert.equal(both.length, 2);
    assert.ok(both.some((eni) => eni.NetworkInterfaceId === before!.NetworkInterfaceId));
    await set(lab.otherSubnetId);
    const [left, ...others] = await interfacesOf(lab, LoadBalancerArn!);
    assert.deepEqual([left!.SubnetId, others], [lab.otherSubnetId, []]);
  });

  test('are all there, and go on becoming active, after a restart', async (t) => {
    const lab = await startLab(t, { settings: { loadBalancerDelayMs: 300 } });
    const { LoadBalancerArn } = await createLoadBalancer(lab);
    const group = await createTargetGroup(lab, 'web');
    await createListener(lab, LoadBalancerArn!, { DefaultActions: forwardTo(group) });
    await lab.cloud.stop();
    const again = new Cloud({
      fabric: new NullFabric(),
      clock: lab.clock,
      stateDir: lab.stateDir,
      credentials: CREDENTIALS,
      settings: { loadBalancerDelayMs: 300 },
    });
    await again.start();
    t.after(() => again.stop());
    assert.deepEqual(again.state, lab.cloud.state);
    await lab.clock.advance(300);
    assert.equal(again.state.loadBalancers[LoadBalancerArn!]?.state, 'active');
  });

  test('are described late, when describing is behind', async (t) => {
    const lab = await startLab(t, { settings: { describeLagMs: 200 } });
    const { LoadBalancerArn } = await createLoadBalancer(lab);
    const group = await createTargetGroup(lab, 'web');
    const listener = await createListener(lab, LoadBalancerArn!, { DefaultActions: forwardTo(group) });
    assert.deepEqual(await statesOf(lab), []);
    await lab.clock.advance(200);
    assert.deepEqual(await statesOf(lab), ['active']);
    await lab.elb.send(new elb.DeleteListenerCommand({ ListenerArn: listener }));
    const remove = () => lab.elb.send(new elb.DeleteTargetGroupCommand({ TargetGroupArn: group }));
    await assert.rejects(remove(), { name: 'ResourceInUseException' });
    await lab.clock.advance(200);
    await remove();
  });

  test('come in pages', async (t) => {
    const lab = await startLab(t);
    const names = ['one', 'two', 'three'];
    for (const Name of names) await createLoadBalancer(lab, { Name });
    const found: (string | undefined)[] = [];
    for await (const { LoadBalancers } of elb.paginateDescribeLoadBalancers(
      { client: lab.elb },
      { PageSize: 2 },
    )) {
      assert.ok(LoadBalancers!.length <= 2);
      found.push(...LoadBalancers!.map(({ LoadBalancerName }) => LoadBalancerName));
    }
    assert.deepEqual(found.sort(), names.sort());
  });

  for (const [what, input, name] of [
    ['one zone', (lab: TestLab) => ({ Subnets: [lab.subnetId] }), 'ValidationError'],
    [
      'a zone twice',
      (lab: TestLab) => ({ Subnets: [lab.subnetId, lab.subnetId] }),
      'InvalidConfigurationRequestException',
    ],
    ['no subnet', () => ({ Subnets: [] }), 'ValidationError'],
    [
      'an unknown subnet',
      (lab: TestLab) => ({ Subnets: [lab.subnetId, 'subnet-1'] }),
      'SubnetNotFoundException',
    ],
    ['an unknown group', () => ({ SecurityGroups: ['sg-1'] }), 'InvalidSecurityGroupException'],
    ['a name with a dash in front', () => ({ Name: '-web' }), 'ValidationError'],
    ['a name of 33 characters', () => ({ Name: 'w'.repeat(33) }), 'ValidationError'],
    ['IPv6', () => ({ IpAddressType: 'dualstack' as const }), 'InvalidConfigurationRequestException'],
    ['a gateway', () => ({ Type: 'gateway' as const }), 'ValidationError'],
    ['tags twice', () => ({ Tags: [{ Key: 'a' }, { Key: 'a' }] }), 'DuplicateTagKeysException'],
    [
      'an address of their own',
      (lab: TestLab) => ({
        SubnetMappings: [
          { SubnetId: lab.subnetId, PrivateIPv4Address: '10.0.1.9' },
          { SubnetId: lab.otherSubnetId },
        ],
      }),
      'InvalidConfigurationRequestException',
    ],
  ] as const) {
    test(`with ${what} are refused: ${name}`, async (t) => {
      const lab = await startLab(t);
      await assert.rejects(createLoadBalancer(lab, input(lab) as object), { name });
      assert.deepEqual(Object.keys(lab.cloud.state.networkInterfaces), []);
    });
  }

  test('are as many as the account may have', async (t) => {
    const lab = await startLab(t, { quotas: { applicationLoadBalancers: 1 } });
    await createLoadBalancer(lab);
    await assert.rejects(createLoadBalancer(lab, { Name: 'more' }), {
      name: 'TooManyLoadBalancersException',
    });
    await createLoadBalancer(lab, { Name: 'other', Type: 'network' });
  });

  test('are throttled and refused by faults as other services are', async (t) => {
    const bucket = { capacity: 1, refillPerSecond: 1 };
    const lab = await startLab(t);
    lab.cloud.configure({
      ...lab.cloud.settings,
      throttle: { read: bucket, readAll: bucket, write: bucket },
    });
    await statesOf(lab);
    await assert.rejects(statesOf(lab), { name: 'Throttling', message: 'Rate exceeded' });
    await lab.clock.advance(1000);
    await statesOf(lab);
    lab.cloud.configure({ ...lab.cloud.settings, throttle: null });
    lab.cloud.faults.add(
      faultSchema.parse({ operation: 'DeleteTargetGroup', code: 'ResourceInUse', times: 1 }),
    );
    const TargetGroupArn = await createTargetGroup(lab, 'web');
    const remove = () => lab.elb.send(new elb.DeleteTargetGroupCommand({ TargetGroupArn }));
    await assert.rejects(remove(), { name: 'ResourceInUseException' });
    // The answer alone is lost: who asks again gets what was made.
    const lost = { operation: 'CreateLoadBalancer', when: 'after', code: 'InternalError', times: 1 };
    lab.cloud.faults.add(faultSchema.parse(lost));
    await assert.rejects(createLoadBalancer(lab), { name: 'InternalError' });
    await createLoadBalancer(lab);
    assert.equal((await statesOf(lab)).length, 1);
    await remove();
  });
});
