/** An AWS account as plain data, for tests of what stacks are worked out to be. */
import { parseIpv4Cidr } from '@enid/ip';
import type {
  Account,
  AccountCertificate,
  AccountLimits,
  AccountLoadBalancer,
  AccountSecurityGroup,
  AccountSubnet,
  ClusterDefaults,
} from './model/account.ts';
import type { Tags } from './model/stack.ts';

export type AccountFixture = {
  readonly vpcCidrs?: readonly string[];
  readonly subnets?: readonly AccountSubnet[];
  readonly securityGroups?: readonly AccountSecurityGroup[];
  readonly certificates?: readonly AccountCertificate[];
  /** Of whatever stack is asked for. */
  readonly loadBalancer?: AccountLoadBalancer;
  readonly limits?: Partial<AccountLimits>;
  readonly targetGroups?: Readonly<Record<string, string>>;
};

export const PUBLIC: Tags = { 'kubernetes.io/role/elb': '1' };
export const PRIVATE: Tags = { 'kubernetes.io/role/internal-elb': '1' };

/** @param cidr of a /24, such as `10.0.1.0/24`. */
export const subnet = (
  id: string,
  zone: string,
  cidr: string,
  tags: Tags = {},
  freeAddresses = 200,
): AccountSubnet => ({ id, zone, cidr: parseIpv4Cidr(cidr), freeAddresses, tags });

/** Public and private subnets in two zones, for which {@link account} is asked when no others are given. */
export const SUBNETS: readonly AccountSubnet[] = [
  subnet('subnet-pub-a', 'us-east-1a', '10.0.0.0/24', { ...PUBLIC, Name: 'public-a' }),
  subnet('subnet-pub-b', 'us-east-1b', '10.0.1.0/24', { ...PUBLIC, Name: 'public-b' }),
  subnet('subnet-priv-a', 'us-east-1a', '10.0.10.0/24', { ...PRIVATE, Name: 'private-a' }),
  subnet('subnet-priv-b', 'us-east-1b', '10.0.11.0/24', { ...PRIVATE, Name: 'private-b' }),
];

export function account({
  vpcCidrs = ['10.0.0.0/16'],
  subnets = SUBNETS,
  securityGroups = [],
  certificates = [],
  loadBalancer,
  limits = {},
  targetGroups = {},
}: AccountFixture = {}): Account {
  return {
    vpcId: 'vpc-1',
    vpcCidrs: async () => vpcCidrs.map(parseIpv4Cidr),
    subnets: async () => subnets,
    securityGroups: async () => securityGroups,
    certificates: async () => certificates,
    loadBalancerOf: async () => loadBalancer,
    limits: async () => ({ listeners: 50, rules: 100, targetGroups: 100, certificates: 25, ...limits }),
    targetGroupArn: async (name) => targetGroups[name],
  };
}

export const DEFAULTS: ClusterDefaults = {
  clusterName: 'shop',
  tags: {},
  targetType: 'instance',
  sslPolicy: 'ELBSecurityPolicy-2016-08',
};
