/**
 * The EC2 model of the lab: what the AWS account of one lab holds, as plain JSON data.
 *
 * The EC2 API changes it, the instance metadata service shows it, the fabric builds the kernel's side of it, and
 * it is written to disk as it stands. Everything is in records by AWS id (`vpc-0a…`, `eni-0b…`). A state is never
 * changed in place: each transaction makes a new one that shares what did not change.
 */
import type { Cidr, Ipv4, Ipv4Cidr } from '@enid/ip';
import { type LoadBalancingState, NO_LOAD_BALANCING } from './elbv2/state.ts';

/** A tag set, key to value. */
export type Tags = Readonly<Record<string, string>>;

export type Vpc = {
  readonly id: string;
  /** The blocks of the VPC; the first is the primary one. They never overlap. */
  readonly cidrBlocks: readonly { readonly associationId: string; readonly cidr: Ipv4Cidr }[];
  readonly isDefault: boolean;
  readonly enableDnsSupport: boolean;
  readonly enableDnsHostnames: boolean;
  readonly tags: Tags;
};

export type Subnet = {
  readonly id: string;
  readonly vpcId: string;
  /** Inside one block of the VPC. The first four addresses and the last one are reserved; `.1` is the router. */
  readonly cidr: Ipv4Cidr;
  readonly availabilityZone: string;
  /** Instances launched here get a public address on their primary interface. */
  readonly mapPublicIpOnLaunch: boolean;
  /** Offset in `cidr` after the last address given out: a freed address is not given out again at once. */
  readonly nextOffset: number;
  /** The same for delegated prefixes. */
  readonly nextPrefixOffset: number;
  readonly tags: Tags;
};

/**
 * Where a route leads. A target that is gone (deleted, or an internet gateway of no VPC) leaves a blackhole:
 * see {@link routeState}.
 */
export type RouteTarget =
  | { readonly kind: 'local' }
  | { readonly kind: 'internet-gateway'; readonly id: string }
  | { readonly kind: 'nat-gateway'; readonly id: string }
  | { readonly kind: 'network-interface'; readonly id: string };

export type Route = {
  readonly destination: Ipv4Cidr;
  readonly target: RouteTarget;
  readonly origin: 'CreateRouteTable' | 'CreateRoute';
};

export type RouteTable = {
  readonly id: string;
  readonly vpcId: string;
  /** Set on the table of every subnet that is associated with no other: the association's id. */
  readonly mainAssociationId?: string;
  readonly associations: readonly { readonly associationId: string; readonly subnetId: string }[];
  readonly routes: readonly Route[];
  readonly tags: Tags;
};

export type InternetGateway = { readonly id: string; readonly vpcId?: string; readonly tags: Tags };

export type NatGateway = {
  readonly id: string;
  readonly vpcId: string;
  readonly subnetId: string;
  readonly clientToken?: string;
  /** Its own interface, of kind `nat_gateway`; gone once it is deleted. */
  readonly networkInterfaceId: string;
  readonly privateIp: Ipv4;
  readonly connectivity: 'public' | 'private';
  readonly allocationId?: string;
  readonly publicIp?: Ipv4;
  /** It forwards while it is `available`. */
  readonly state: 'pending' | 'available' | 'deleting' | 'deleted';
  readonly createTime: string;
  readonly deleteTime?: string;
  readonly tags: Tags;
};

/** An Elastic IP address. Which private address it stands for is in the interface's `publicIps`. */
export type ElasticIp = {
  readonly allocationId: string;
  readonly publicIp: Ipv4;
  readonly associationId?: string;
  readonly networkInterfaceId?: string;
  readonly privateIp?: Ipv4;
  readonly tags: Tags;
};

/** One security group rule: one peer, one protocol, one range. */
export type SecurityGroupRule = {
  readonly id: string;
  /** `-1` is every protocol; other protocols have their IANA number as text, `58` being `icmpv6`. */
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'icmpv6' | '-1' | `${number}`;
  /** First port (tcp, udp) or ICMP type (-1: every type). Absent for every other protocol. */
  readonly fromPort?: number;
  /** Last port (tcp, udp) or ICMP code (-1: every code). Absent for every other protocol. */
  readonly toPort?: number;
  /** Source of an ingress rule, destination of an egress rule. */
  readonly peer: { readonly cidr: Cidr } | { readonly groupId: string };
  readonly description?: string;
  readonly tags: Tags;
};

export type SecurityGroup = {
  readonly id: string;
  readonly vpcId: string;
  readonly name: string;
  readonly description: string;
  readonly ingress: readonly SecurityGroupRule[];
  readonly egress: readonly SecurityGroupRule[];
  readonly tags: Tags;
};

export type MetadataOptions = {
  /** `required`: IMDSv2 alone, as the lab's default is. */
  readonly httpTokens: 'required' | 'optional';
  /** TTL of the replies of the metadata service. */
  readonly httpPutResponseHopLimit: number;
  readonly httpEndpoint: 'enabled' | 'disabled';
  readonly instanceMetadataTags: 'enabled' | 'disabled';
};

export type Instance = {
  readonly id: string;
  readonly reservationId: string;
  readonly launchIndex: number;
  readonly clientToken?: string;
  readonly type: string;
  readonly imageId: string;
  readonly vpcId: string;
  readonly subnetId: string;
  readonly availabilityZone: string;
  /** The instance's network namespace exists while it is `pending` or `running`. */
  readonly state: 'pending' | 'running' | 'shutting-down' | 'terminated';
  readonly launchTime: string;
  /** When it was terminated; it can be described for an hour afterwards. */
  readonly terminateTime?: string;
  readonly privateIp: Ipv4;
  readonly keyName?: string;
  /** Base64, as RunInstances took it. */
  readonly userData?: string;
  /** Name of the IAM role of its instance profile. */
  readonly iamRole: string;
  readonly metadataOptions: MetadataOptions;
  readonly tags: Tags;
};

export type Attachment = {
  readonly id: string;
  readonly instanceId: string;
  readonly deviceIndex: number;
  readonly networkCardIndex: number;
  /** The device is in the instance's namespace while the status is `attached`, as `eth<deviceIndex>`. */
  readonly status: 'attaching' | 'attached' | 'detaching';
  readonly attachTime: string;
  readonly deleteOnTermination: boolean;
};

/** A public address that the internet gateway translates one to one. */
export type PublicIp = {
  readonly publicIp: Ipv4;
  /** Absent for an address that Amazon lends to a running instance. */
  readonly allocationId?: string;
  readonly associationId?: string;
};

export type NetworkInterface = {
  readonly id: string;
  readonly vpcId: string;
  readonly subnetId: string;
  readonly availabilityZone: string;
  readonly clientToken?: string;
  readonly description: string;
  /** What it belongs to: `interface` can be attached to an instance, the others are held by an AWS service. */
  readonly kind: 'interface' | 'nat_gateway' | 'load_balancer' | 'network_load_balancer';
  /**
   * The AWS service that holds it for this account, such as `eks`: what answers at its addresses lives in a namespace of
   * that name.
   */
  readonly holder?: string;
  /** Lower case, `02:…`. */
  readonly mac: string;
  readonly primaryIp: Ipv4;
  /** In the order in which they were assigned. */
  readonly secondaryIps: readonly Ipv4[];
  /** Delegated /28 prefixes. */
  readonly prefixes: readonly Ipv4Cidr[];
  /** By private address of this interface. */
  readonly publicIps: Readonly<Record<string, PublicIp>>;
  /** Security group ids. */
  readonly groups: readonly string[];
  /** Drop what has a source, or a destination, that is not an address of this interface. */
  readonly sourceDestCheck: boolean;
  readonly attachment?: Attachment;
  readonly tags: Tags;
};

export type CloudState = LoadBalancingState & {
  readonly region: string;
  readonly zones: readonly string[];
  readonly accountId: string;
  /** Advances with every id that is made: with the seed it determines the ids to come. */
  readonly idCount: number;
  /** Offset in {@link PUBLIC_POOL} after the last public address given out. */
  readonly nextPublicOffset: number;
  readonly vpcs: Readonly<Record<string, Vpc>>;
  readonly subnets: Readonly<Record<string, Subnet>>;
  readonly routeTables: Readonly<Record<string, RouteTable>>;
  readonly internetGateways: Readonly<Record<string, InternetGateway>>;
  readonly natGateways: Readonly<Record<string, NatGateway>>;
  /** By allocation id. */
  readonly elasticIps: Readonly<Record<string, ElasticIp>>;
  readonly securityGroups: Readonly<Record<string, SecurityGroup>>;
  readonly instances: Readonly<Record<string, Instance>>;
  readonly networkInterfaces: Readonly<Record<string, NetworkInterface>>;
};

/** The public addresses of the lab's Amazon (RFC 5737 documentation space, so that they can be nobody's). */
export const PUBLIC_POOL = '203.0.113.0/24' as Ipv4Cidr;

/** An account with nothing in it. */
export function emptyState(options: {
  region: string;
  zones: readonly string[];
  accountId: string;
}): CloudState {
  return {
    ...options,
    idCount: 0,
    nextPublicOffset: 1,
    vpcs: {},
    subnets: {},
    routeTables: {},
    internetGateways: {},
    natGateways: {},
    elasticIps: {},
    securityGroups: {},
    instances: {},
    networkInterfaces: {},
    ...NO_LOAD_BALANCING,
  };
}

/** The table that routes for a subnet: its own, or the VPC's main one. */
export function routeTableOf(state: CloudState, subnetId: string): RouteTable | undefined {
  const subnet = state.subnets[subnetId];
  const tables = Object.values(state.routeTables).filter((table) => table.vpcId === subnet?.vpcId);
  return (
    tables.find((table) => table.associations.some((association) => association.subnetId === subnetId)) ??
    tables.find((table) => table.mainAssociationId !== undefined)
  );
}

/** `blackhole` when the target of a route cannot take packets, else `active`. */
export function routeState(state: CloudState, route: Route, vpcId: string): 'active' | 'blackhole' {
  const { target } = route;
  const takesPackets = (): boolean => {
    switch (target.kind) {
      case 'local':
        return true;
      case 'internet-gateway':
        return state.internetGateways[target.id]?.vpcId === vpcId;
      case 'nat-gateway':
        return ['pending', 'available'].includes(state.natGateways[target.id]?.state ?? '');
      case 'network-interface':
        return state.networkInterfaces[target.id]?.attachment?.status === 'attached';
    }
  };
  return takesPackets() ? 'active' : 'blackhole';
}

/** Every address and prefix that an interface owns: primary, secondaries, then the delegated prefixes. */
export function ownedBlocks(eni: NetworkInterface): readonly (Ipv4 | Ipv4Cidr)[] {
  return [eni.primaryIp, ...eni.secondaryIps, ...eni.prefixes];
}

/** The interfaces attached to an instance, by device index. */
export function interfacesOf(state: CloudState, instanceId: string): NetworkInterface[] {
  return Object.values(state.networkInterfaces)
    .filter((eni) => eni.attachment?.instanceId === instanceId)
    .sort((a, b) => a.attachment!.deviceIndex - b.attachment!.deviceIndex);
}
