/** A network load balancer of the lab's AWS, by the API alone: what a controller would make of Services. */
import assert from 'node:assert/strict';
import { DescribeSubnetsCommand, type EC2Client } from '@aws-sdk/client-ec2';
import {
  CreateListenerCommand,
  CreateLoadBalancerCommand,
  CreateTargetGroupCommand,
  type CreateTargetGroupCommandInput,
  DescribeTargetHealthCommand,
  type ElasticLoadBalancingV2Client,
  ModifyLoadBalancerAttributesCommand,
  ModifyTargetGroupAttributesCommand,
  RegisterTargetsCommand,
} from '@aws-sdk/client-elastic-load-balancing-v2';

/** A target group, with a listener at a port of its own. */
export type Group = {
  readonly listener: number;
  readonly protocol: 'TCP' | 'UDP';
  /** Instances or addresses. */
  readonly type: 'instance' | 'ip';
  readonly targets: readonly string[];
  readonly port: number;
  /** Where `/healthz` or `/` is asked for; the targets' own port, by TCP, where it is not given. */
  readonly healthPort?: number;
};

/** By which states targets are told, in the order of the group's. */
export type Health = () => Promise<(string | undefined)[]>;

/**
 * Makes a load balancer "flows" that the internet reaches, in a subnet of each zone, which keeps the address of clients and sends to the
 * targets of every zone.
 * @returns by listener, how the group's targets are.
 */
export async function networkLoadBalancer(
  ec2: EC2Client,
  elb: ElasticLoadBalancingV2Client,
  vpcId: string,
  groups: readonly Group[],
): Promise<Map<number, Health>> {
  const { Subnets } = await ec2.send(new DescribeSubnetsCommand({}));
  const open = Subnets!.filter((subnet) => subnet.VpcId === vpcId && subnet.MapPublicIpOnLaunch);
  const zones = new Map(open.map((subnet) => [subnet.AvailabilityZone, subnet.SubnetId!]));
  const { LoadBalancers } = await elb.send(
    new CreateLoadBalancerCommand({
      Name: 'flows',
      Type: 'network',
      Scheme: 'internet-facing',
      Subnets: [...zones.values()],
    }),
  );
  const LoadBalancerArn = LoadBalancers![0]!.LoadBalancerArn!;
  const crossZone = [{ Key: 'load_balancing.cross_zone.enabled', Value: 'true' }];
  await elb.send(new ModifyLoadBalancerAttributesCommand({ LoadBalancerArn, Attributes: crossZone }));
  const healths = new Map<number, Health>();
  for (const group of groups) healths.set(group.listener, await listen(elb, vpcId, LoadBalancerArn, group));
  return healths;
}

async function listen(
  elb: ElasticLoadBalancingV2Client,
  VpcId: string,
  LoadBalancerArn: string,
  { listener: Port, protocol: Protocol, type: TargetType, targets, port, healthPort }: Group,
): Promise<Health> {
  const input: CreateTargetGroupCommandInput = {
    ...{ Name: `flows-${Port}`, VpcId, Protocol, TargetType, Port: port },
    ...{ HealthCheckIntervalSeconds: 5, UnhealthyThresholdCount: 2 },
    ...(healthPort && {
      ...{ HealthCheckProtocol: 'HTTP', HealthCheckPath: '/healthz', HealthCheckPort: `${healthPort}` },
    }),
  };
  const { TargetGroups } = await elb.send(new CreateTargetGroupCommand(input));
  const TargetGroupArn = TargetGroups![0]!.TargetGroupArn!;
  const preserve = [{ Key: 'preserve_client_ip.enabled', Value: 'true' }];
  await elb.send(new ModifyTargetGroupAttributesCommand({ TargetGroupArn, Attributes: preserve }));
  await elb.send(
    new RegisterTargetsCommand({ TargetGroupArn, Targets: targets.map((Id) => ({ Id, Port: port })) }),
  );
  const DefaultActions = [{ Type: 'forward' as const, TargetGroupArn }];
  await elb.send(new CreateListenerCommand({ LoadBalancerArn, Protocol, Port, DefaultActions }));
  return async () => {
    const { TargetHealthDescriptions } = await elb.send(new DescribeTargetHealthCommand({ TargetGroupArn }));
    assert.equal(TargetHealthDescriptions!.length, targets.length);
    return targets.map(
      (id) => TargetHealthDescriptions!.find(({ Target }) => Target?.Id === id)?.TargetHealth?.State,
    );
  };
}
