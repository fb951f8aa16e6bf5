/** What stacks are worked out from besides Kubernetes objects: what the AWS account has. All methods may be answered from a short-lived cache. */
import type { Ipv4Cidr } from '@enid/ip';
import type { Scheme, StackId, Tags } from './stack.ts';

export type AccountSubnet = {
  readonly id: string;
  readonly zone: string;
  readonly cidr: Ipv4Cidr;
  readonly freeAddresses: number;
  readonly tags: Tags;
};

export type AccountSecurityGroup = { readonly id: string; readonly name: string; readonly tags: Tags };

export type AccountCertificate = {
  readonly arn: string;
  /** Domain names, with wildcards (`*.example.com`). */
  readonly names: readonly string[];
  readonly importedOrIssuedAt: number;
};

/** What of a load balancer that there is already decides how it goes on, where its user does not say otherwise. */
export type AccountLoadBalancer = {
  readonly scheme: Scheme;
  readonly subnetIds: readonly string[];
  /** None: a network load balancer that was made without can never have any. */
  readonly securityGroupIds: readonly string[];
};

/** What AWS lets an application load balancer have; accounts may have been given more than the usual. */
export type AccountLimits = {
  readonly listeners: number;
  /** Of all its listeners together, without their default ones. */
  readonly rules: number;
  readonly targetGroups: number;
  /** Without the default ones of its listeners. */
  readonly certificates: number;
};

/** The account's region and VPC of the cluster. Methods throw `AwsError`, with AWS's code and message. */
export interface Account {
  readonly vpcId: string;
  /** All CIDR blocks of the VPC. */
  vpcCidrs(): Promise<readonly Ipv4Cidr[]>;
  /** All subnets of the VPC. */
  subnets(): Promise<readonly AccountSubnet[]>;
  /** All security groups of the VPC. */
  securityGroups(): Promise<readonly AccountSecurityGroup[]>;
  /** Certificates of ACM that are issued. */
  certificates(): Promise<readonly AccountCertificate[]>;
  /** The load balancer that carries a stack's tags. @returns undefined when there is none. */
  loadBalancerOf(id: StackId): Promise<AccountLoadBalancer | undefined>;
  /** By DescribeAccountLimits. */
  limits(): Promise<AccountLimits>;
  /** ARN of the target group of this name. @returns undefined when there is none. */
  targetGroupArn(name: string): Promise<string | undefined>;
}

/** What holds for all stacks of a cluster, from the controller's configuration. */
export type ClusterDefaults = {
  readonly clusterName: string;
  /** Tags for everything. */
  readonly tags: Tags;
  readonly targetType: 'instance' | 'ip';
  readonly sslPolicy: string;
};
