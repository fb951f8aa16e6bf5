/** A load balancer as AWS and Kubernetes tell of it, once it serves. */
import { DescribeNetworkInterfacesCommand } from '@aws-sdk/client-ec2';
import {
  DescribeLoadBalancersCommand,
  DescribeTargetHealthCommand,
  type TargetHealthDescription,
} from '@aws-sdk/client-elastic-load-balancing-v2';
import type { KubeObject, List } from '@enid/kube';
import { until } from '../../base/until.ts';
import { portName } from '../../fabric/names.ts';
import type { Demo } from '../check.ts';
import type { Path } from './paths.ts';

/** How long a load balancer may take from its Service or Ingress until it serves, in milliseconds. */
const PATIENCE = 60_000;
/** How often AWS is asked, in milliseconds: the controller asks the same operations, from the same rate. */
export const PACE = 500;

export type Zone = {
  readonly zone: string;
  readonly address: string;
  readonly publicAddress: string;
  /** The VPC's end of the load balancer's interface. */
  readonly port: string;
};

export type Exposed = {
  readonly dnsName: string;
  readonly kind: string;
  readonly zones: readonly Zone[];
  readonly targetGroupArn: string;
};

type Balanced = KubeObject & { status?: { loadBalancer?: { ingress?: { hostname?: string }[] } } };
type Binding = KubeObject & { spec: { targetGroupARN: string; serviceRef: { name: string } } };

const ROOT = { services: '/api/v1', ingresses: '/apis/networking.k8s.io/v1' };
const BINDINGS = '/apis/elbv2.k8s.aws/v1beta1/namespaces/default/targetgroupbindings';

/** Waits until a path's load balancer has a name, is active, and has a healthy target. */
export async function exposed({ client, ec2, elbv2 }: Demo, path: Path): Promise<Exposed> {
  const { kind, name } = path.exposes;
  const object = await until(
    () => client.get<Balanced>(`${ROOT[kind]}/namespaces/default/${kind}/${name}`),
    ({ status }) => status?.loadBalancer?.ingress?.[0]?.hostname !== undefined,
    `a load balancer for ${kind}/${name}`,
    PATIENCE,
  );
  const dnsName = object.status!.loadBalancer!.ingress![0]!.hostname!;
  const balancer = await until(
    async () => {
      const { LoadBalancers = [] } = await elbv2.send(new DescribeLoadBalancersCommand({}));
      return LoadBalancers.find(({ DNSName }) => DNSName === dnsName);
    },
    (found) => found?.State?.Code === 'active',
    `${dnsName} to be active`,
    PATIENCE,
    PACE,
  );
  const Values = [`ELB ${balancer!.LoadBalancerArn!.split(':loadbalancer/')[1]}`];
  const { NetworkInterfaces = [] } = await ec2.send(
    new DescribeNetworkInterfacesCommand({ Filters: [{ Name: 'description', Values }] }),
  );
  const { items } = await client.get<List<Binding>>(BINDINGS);
  const binding = items.find(({ spec }) => spec.serviceRef.name === path.service);
  const targetGroupArn = binding!.spec.targetGroupARN;
  await until(
    () => targetHealth({ elbv2 }, targetGroupArn),
    (targets) => targets.some(({ TargetHealth }) => TargetHealth?.State === 'healthy'),
    `a healthy target of ${path.service}`,
    PATIENCE,
    PACE,
  );
  return {
    dnsName,
    kind: balancer!.Type!,
    zones: NetworkInterfaces.map((eni) => ({
      zone: eni.AvailabilityZone!,
      address: eni.PrivateIpAddress!,
      publicAddress: eni.Association!.PublicIp!,
      port: portName(eni.NetworkInterfaceId!),
    })),
    targetGroupArn,
  };
}

export async function targetHealth(
  { elbv2 }: Pick<Demo, 'elbv2'>,
  TargetGroupArn: string,
): Promise<TargetHealthDescription[]> {
  const { TargetHealthDescriptions = [] } = await elbv2.send(
    new DescribeTargetHealthCommand({ TargetGroupArn }),
  );
  return TargetHealthDescriptions;
}
