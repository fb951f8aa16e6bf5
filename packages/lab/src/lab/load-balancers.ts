import type { NetworkInterface } from '@aws-sdk/client-ec2';
import {
  DescribeListenersCommand,
  DescribeLoadBalancersCommand,
  DescribeTargetGroupsCommand,
  DescribeTargetHealthCommand,
  ElasticLoadBalancingV2Client,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import { awsConfig, type CloudRecord } from './ec2.ts';

export const elbClient = (cloud: CloudRecord) => new ElasticLoadBalancingV2Client(awsConfig(cloud));

export type LoadBalancerStatus = {
  readonly name: string;
  readonly type: string;
  readonly scheme: string;
  readonly state: string;
  readonly dnsName: string;
  readonly zones: readonly {
    readonly zone: string;
    readonly address: string;
    readonly publicAddress?: string;
  }[];
  /** `HTTPS 443`. */
  readonly listeners: readonly string[];
  /** How many targets are in which state: `{"healthy": 2, "draining": 1}`. */
  readonly targets: Readonly<Record<string, number>>;
};

/** The load balancers of a lab. @param interfaces of the account, among which are theirs. */
export async function loadBalancersOf(
  lab: CloudRecord,
  interfaces: readonly NetworkInterface[],
): Promise<LoadBalancerStatus[]> {
  const elb = elbClient(lab);
  try {
    const { LoadBalancers } = await elb.send(new DescribeLoadBalancersCommand({}));
    return await Promise.all(
      LoadBalancers!.map(async (loadBalancer) => {
        const LoadBalancerArn = loadBalancer.LoadBalancerArn!;
        const [{ Listeners }, { TargetGroups }] = await Promise.all([
          elb.send(new DescribeListenersCommand({ LoadBalancerArn })),
          elb.send(new DescribeTargetGroupsCommand({ LoadBalancerArn })),
        ]);
        const healths = await Promise.all(
          TargetGroups!.map(({ TargetGroupArn }) =>
            elb.send(new DescribeTargetHealthCommand({ TargetGroupArn })),
          ),
        );
        const states = healths
          .flatMap(({ TargetHealthDescriptions }) => TargetHealthDescriptions!)
          .map(({ TargetHealth }) => TargetHealth!.State!);
        const description = `ELB ${LoadBalancerArn.split(':loadbalancer/')[1]}`;
        return {
          name: loadBalancer.LoadBalancerName!,
          type: loadBalancer.Type!,
          scheme: loadBalancer.Scheme!,
          state: loadBalancer.State!.Code!,
          dnsName: loadBalancer.DNSName!,
          zones: interfaces
            .filter((eni) => eni.Description === description)
            .map((eni) => ({
              zone: eni.AvailabilityZone!,
              address: eni.PrivateIpAddress!,
              ...(eni.Association?.PublicIp && { publicAddress: eni.Association.PublicIp }),
            }))
            .sort((a, b) => (a.zone < b.zone ? -1 : 1)),
          listeners: Listeners!.map(({ Protocol, Port }) => `${Protocol} ${Port}`),
          targets: Object.fromEntries(
            [...Map.groupBy(states, (state) => state)].map(([state, same]) => [state, same.length]),
          ),
        };
      }),
    );
  } finally {
    elb.destroy();
  }
}

/** The same for a reader: a line for each, and one for each of its zones. */
export function describeLoadBalancer(loadBalancer: LoadBalancerStatus): string[] {
  const { name, type, scheme, state, dnsName, zones, listeners, targets } = loadBalancer;
  const counts = Object.entries(targets).map(([each, count]) => `${count} ${each}`);
  return [
    `${name}  ${type} load balancer, ${scheme}, ${state}  ${dnsName}`,
    ...zones.map(
      ({ zone, address, publicAddress }) =>
        `  ${zone}  ${address}${publicAddress === undefined ? '' : ` (public ${publicAddress})`}`,
    ),
    `  listens to ${listeners.join(', ') || 'nothing'}; targets: ${counts.join(', ') || 'none'}`,
  ];
}
