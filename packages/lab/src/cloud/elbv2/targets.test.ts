import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as ec2 from '@aws-sdk/client-ec2';
import * as elb from '@aws-sdk/client-elastic-load-balancing-v2';
import { launch } from '../cloud.fixture.ts';
import {
  createListener,
  createLoadBalancer,
  createTargetGroup,
  forwardTo,
  startLab,
  type TestLab,
} from './elbv2.fixture.ts';
import { resolveLoadBalancer } from './names.ts';

const register = ({ elb: client }: TestLab, TargetGroupArn: string, ...Targets: elb.TargetDescription[]) =>
  client.send(new elb.RegisterTargetsCommand({ TargetGroupArn, Targets }));

const healthOf = async (
  { elb: client }: TestLab,
  TargetGroupArn: string,
  Targets?: elb.TargetDescription[],
) => {
  const { TargetHealthDescriptions } = await client.send(
    new elb.DescribeTargetHealthCommand({ TargetGroupArn, Targets }),
  );
  return TargetHealthDescriptions!.map(({ Target, TargetHealth }) => [
    `${Target?.Id}:${Target?.Port}`,
    TargetHealth?.State,
    TargetHealth?.Reason,
  ]);
};

/** A network load balancer on port 80 and its target group. */
async function build(lab: TestLab, attributes: Record<string, string> = {}) {
  const loadBalancer = await createLoadBalancer(lab, { Type: 'network' });
  const group = await createTargetGroup(lab, 'flows', { Protocol: 'TCP' });
  const listen = () =>
    createListener(lab, loadBalancer.LoadBalancerArn!, { Protocol: 'TCP', DefaultActions: forwardTo(group) });
  await lab.elb.send(
    new elb.ModifyTargetGroupAttributesCommand({
      TargetGroupArn: group,
      Attributes: Object.entries(attributes).map(([Key, Value]) => ({ Key, Value })),
    }),
  );
  return { loadBalancer, group, listen };
}

suite('targets', () => {
  test('go from unused to healthy to draining, and are gone after the deregistration delay', async (t) => {
    const lab = await startLab(t);
    const { group, listen } = await build(lab, { 'deregistration_delay.timeout_seconds': '10' });
    const target = { Id: '10.0.1.50', Port: 8080 };
    await register(lab, group, target);
    assert.deepEqual(await healthOf(lab, group), [['10.0.1.50:8080', 'unused', 'Target.NotInUse']]);
    await listen();
    assert.deepEqual(await healthOf(lab, group), [
      ['10.0.1.50:8080', 'initial', 'Elb.InitialHealthChecking'],
    ]);
    const report = (state: 'healthy' | 'unhealthy', reason?: string) =>
      lab.cloud.reportHealth([
        {
          targetGroupArn: group,
          id: target.Id,
          port: target.Port,
          health: { state, ...(reason && { reason }) },
        },
      ]);
    await report('healthy');
    assert.deepEqual(await healthOf(lab, group), [['10.0.1.50:8080', 'healthy', undefined]]);
    await report('unhealthy', 'Target.Timeout');
    assert.deepEqual(await healthOf(lab, group), [['10.0.1.50:8080', 'unhealthy', 'Target.Timeout']]);

    const TargetGroupArn = group;
    const deregister = () =>
      lab.elb.send(new elb.DeregisterTargetsCommand({ TargetGroupArn, Targets: [target] }));
    await deregister();
    const draining = [['10.0.1.50:8080', 'draining', 'Target.DeregistrationInProgress']];
    assert.deepEqual(await healthOf(lab, group), draining);
    await lab.clock.advance(9_999);
    await deregister();
    await report('healthy');
    assert.deepEqual(await healthOf(lab, group), draining);
    await lab.clock.advance(1);
    assert.deepEqual(await healthOf(lab, group), []);
    assert.deepEqual(await healthOf(lab, group, [target]), [
      ['10.0.1.50:8080', 'unused', 'Target.NotRegistered'],
    ]);
    // It may be registered anew while it is drained, and stays then.
    await register(lab, group, target);
    await deregister();
    await register(lab, group, target);
    await lab.clock.advance(10_000);
    assert.deepEqual(await healthOf(lab, group), [
      ['10.0.1.50:8080', 'initial', 'Elb.InitialHealthChecking'],
    ]);
  });

  test('that are instances run, are in the VPC, and are told when they stop', async (t) => {
    const lab = await startLab(t);
    const loadBalancer = await createLoadBalancer(lab);
    const group = await createTargetGroup(lab, 'nodes', { TargetType: 'instance', Port: 30_080 });
    await createListener(lab, loadBalancer.LoadBalancerArn!, { DefaultActions: forwardTo(group) });
    const Id = await launch(lab, lab.subnetId);
    await register(lab, group, { Id });
    assert.deepEqual(await healthOf(lab, group), [[`${Id}:30080`, 'initial', 'Elb.InitialHealthChecking']]);
    await lab.ec2.send(new ec2.TerminateInstancesCommand({ InstanceIds: [Id] }));
    assert.deepEqual(await healthOf(lab, group), [[`${Id}:30080`, 'unused', 'Target.InvalidState']]);
    await assert.rejects(register(lab, group, { Id, Port: 1 }), { name: 'InvalidTargetException' });
    await assert.rejects(register(lab, group, { Id: 'i-1' }), { name: 'InvalidTargetException' });
  });

  test('decide which zones DNS leads to', async (t) => {
    const lab = await startLab(t);
    const { loadBalancer, group, listen } = await build(lab);
    await listen();
    const addresses = (zone?: string) => {
      const name = loadBalancer.DNSName!;
      return resolveLoadBalancer(lab.cloud.state, zone ? `${zone}.${name}` : name);
    };
    const [a, b] = [addresses('us-east-1a')!, addresses('us-east-1b')!];
    assert.match(a[0]!, /^10\.0\.1\./);
    assert.match(b[0]!, /^10\.0\.2\./);
    assert.deepEqual(addresses(), [...a, ...b]);
    await register(lab, group, { Id: '10.0.1.50' }, { Id: '10.0.2.50' });
    const report = (id: string, state: 'healthy' | 'unhealthy') =>
      lab.cloud.reportHealth([{ targetGroupArn: group, id, port: 80, health: { state } }]);
    await report('10.0.1.50', 'healthy');
    assert.deepEqual(addresses(), a);
    await report('10.0.2.50', 'healthy');
    assert.deepEqual(addresses(), [...a, ...b]);
    await report('10.0.1.50', 'unhealthy');
    assert.deepEqual(addresses(), b);
    await report('10.0.2.50', 'unhealthy');
    assert.deepEqual(addresses(), [...a, ...b]);
    await report('10.0.1.50', 'healthy');
    await lab.elb.send(
      new elb.ModifyLoadBalancerAttributesCommand({
        LoadBalancerArn: loadBalancer.LoadBalancerArn,
        Attributes: [{ Key: 'load_balancing.cross_zone.enabled', Value: 'true' }],
      }),
    );
    assert.deepEqual(addresses(), [...a, ...b]);
    assert.equal(addresses('us-east-1c'), undefined);
    assert.equal(resolveLoadBalancer(lab.cloud.state, 'web.elb.us-east-1.amazonaws.com'), undefined);
  });

  test('are unused in a zone that their load balancer has not, cross-zone or not', async (t) => {
    const lab = await startLab(t);
    const loadBalancer = await createLoadBalancer(lab, { Type: 'network', Subnets: [lab.subnetId] });
    const group = await createTargetGroup(lab, 'flows', { Protocol: 'TCP' });
    const DefaultActions = forwardTo(group);
    await createListener(lab, loadBalancer.LoadBalancerArn!, { Protocol: 'TCP', DefaultActions });
    await register(lab, group, { Id: '10.0.2.50' });
    const unused = [['10.0.2.50:80', 'unused', 'Target.NotInUse']];
    assert.deepEqual(await healthOf(lab, group), unused);
    const Attributes = [{ Key: 'load_balancing.cross_zone.enabled', Value: 'true' }];
    await lab.elb.send(new elb.ModifyTargetGroupAttributesCommand({ TargetGroupArn: group, Attributes }));
    assert.deepEqual(await healthOf(lab, group), unused);
    const Subnets = [lab.subnetId, lab.otherSubnetId];
    const { LoadBalancerArn } = loadBalancer;
    await lab.elb.send(new elb.SetSubnetsCommand({ LoadBalancerArn, Subnets }));
    assert.deepEqual(await healthOf(lab, group), [['10.0.2.50:80', 'initial', 'Elb.InitialHealthChecking']]);
  });

  for (const [what, target] of [
    ['an address that is none', { Id: 'web' }],
    ['a public address', { Id: '203.0.113.9', AvailabilityZone: 'all' }],
    ['an address outside of the VPC, without a zone', { Id: '192.168.0.1' }],
    ['an address inside of the VPC, in all zones', { Id: '10.0.1.9', AvailabilityZone: 'all' }],
    ['an address in no subnet', { Id: '10.0.99.9' }],
  ] as const) {
    test(`are refused: ${what}`, async (t) => {
      const lab = await startLab(t);
      const group = await createTargetGroup(lab, 'web');
      await assert.rejects(register(lab, group, target), { name: 'InvalidTargetException' });
    });
  }

  test('are as many as a group has', async (t) => {
    const lab = await startLab(t, { quotas: { targetsPerTargetGroup: 2 } });
    const group = await createTargetGroup(lab, 'web');
    await register(lab, group, { Id: '10.0.1.50' }, { Id: '10.0.1.51' });
    await assert.rejects(register(lab, group, { Id: '10.0.1.52' }), { name: 'TooManyTargetsException' });
  });
});

suite('target groups', () => {
  test('have defaults by their protocol, and keep what a change does not name', async (t) => {
    const lab = await startLab(t);
    const TargetGroupArn = await createTargetGroup(lab, 'web');
    assert.equal(await createTargetGroup(lab, 'web'), TargetGroupArn);
    await assert.rejects(createTargetGroup(lab, 'web', { Tags: [{ Key: 'a', Value: 'b' }] }), {
      name: 'DuplicateTargetGroupNameException',
      message: /tags didn't match/,
    });
    await assert.rejects(createTargetGroup(lab, 'web', { Port: 81 }), {
      name: 'DuplicateTargetGroupNameException',
    });
    await lab.elb.send(
      new elb.ModifyTargetGroupCommand({
        TargetGroupArn,
        HealthCheckPath: '/healthz',
        HealthCheckIntervalSeconds: 10,
      }),
    );
    const flows = await createTargetGroup(lab, 'flows', { Protocol: 'UDP', TargetType: 'instance' });
    const { TargetGroups } = await lab.elb.send(
      new elb.DescribeTargetGroupsCommand({ Names: ['web', 'flows'] }),
    );
    assert.deepEqual(
      TargetGroups!
        .toSorted((a, b) => (a.TargetGroupName! > b.TargetGroupName! ? -1 : 1))
        .map((group) => [
          group.TargetGroupName,
          group.ProtocolVersion,
          group.HealthCheckProtocol,
          group.HealthCheckPath,
          group.HealthCheckIntervalSeconds,
          group.HealthCheckTimeoutSeconds,
          group.HealthyThresholdCount,
          group.Matcher,
        ]),
      [
        ['web', 'HTTP1', 'HTTP', '/healthz', 10, 5, 5, { HttpCode: '200' }],
        ['flows', undefined, 'TCP', undefined, 30, 10, 5, undefined],
      ],
    );
    const attribute = async (arn: string, key: string) => {
      const { Attributes } = await lab.elb.send(
        new elb.DescribeTargetGroupAttributesCommand({ TargetGroupArn: arn }),
      );
      return Attributes!.find(({ Key }) => Key === key)?.Value;
    };
    assert.equal(await attribute(flows, 'preserve_client_ip.enabled'), 'true');
    const proxied = { Key: 'proxy_protocol_v2.enabled', Value: 'true' };
    await assert.rejects(
      lab.elb.send(
        new elb.ModifyTargetGroupAttributesCommand({ TargetGroupArn: flows, Attributes: [proxied] }),
      ),
      { name: 'InvalidConfigurationRequestException', message: /no PROXY headers in datagrams/ },
    );
    assert.equal(await attribute(flows, 'proxy_protocol_v2.enabled'), 'false');
    assert.equal(await attribute(TargetGroupArn, 'stickiness.type'), 'lb_cookie');
    assert.equal(await attribute(TargetGroupArn, 'preserve_client_ip.enabled'), undefined);
  });

  for (const [Key, Value] of [
    ['deregistration_delay.timeout_seconds', '3601'],
    ['slow_start.duration_seconds', '10'],
    ['proxy_protocol_v2.enabled', 'true'],
    ['stickiness.type', 'source_ip'],
  ] as const) {
    test(`of HTTP refuse the attribute ${Key}=${Value}`, async (t) => {
      const lab = await startLab(t);
      const TargetGroupArn = await createTargetGroup(lab, 'web');
      const Attributes = [{ Key, Value }];
      await assert.rejects(
        lab.elb.send(new elb.ModifyTargetGroupAttributesCommand({ TargetGroupArn, Attributes })),
        {
          name: /^(ValidationError|InvalidConfigurationRequestException)$/,
        },
      );
    });
  }

  for (const [what, more] of [
    ['a timeout as long as the interval', { HealthCheckTimeoutSeconds: 30 }],
    ['an interval of 4 s', { HealthCheckIntervalSeconds: 4 }],
    ['a path without a slash', { HealthCheckPath: 'healthz' }],
    ['codes upside down', { Matcher: { HttpCode: '399-200' } }],
    ['a check by TCP', { HealthCheckProtocol: 'TCP' as const }],
    ['lambda functions', { TargetType: 'lambda' as const }],
    ['an unknown VPC', { VpcId: 'vpc-1' }],
  ] as const) {
    test(`are refused: ${what}`, async (t) => {
      const lab = await startLab(t);
      await assert.rejects(createTargetGroup(lab, 'web', more), { name: 'ValidationError' });
    });
  }
});
