/** The zones of a load balancer: a subnet in each, an interface in each, and the addresses on them. */
import type { SubnetMapping } from '@aws-sdk/client-elastic-load-balancing-v2';
import { contains, isIpv4 } from '@enid/ip';
import type { Draft } from 'immer';
import { availableAddresses, takePublicAddress } from '../addressing.ts';
import { AwsError } from '../errors.ts';
import { createInterface, deleteInterface } from '../interfaces.ts';
import type { Context } from '../operation.ts';
import { associate } from '../operations/elastic-ips.ts';
import type { CloudState, ElasticIp, Subnet } from '../state.ts';
import { invalid } from './operation.ts';
import { pathOf } from './resources.ts';
import type { LoadBalancer, LoadBalancerZone } from './state.ts';

/** A subnet that a load balancer is to have, and the addresses that it is to have there. */
export type ZoneRequest = {
  readonly subnet: Draft<Subnet>;
  readonly privateIp?: string;
  readonly allocationId?: string;
};

/** How many addresses AWS wants to be free in a subnet of a load balancer. */
const FREE_ADDRESSES = 8;

type SubnetInput = {
  readonly Subnets?: readonly string[] | undefined;
  readonly SubnetMappings?: readonly SubnetMapping[] | undefined;
};

const badConfiguration = (message: string) => new AwsError('InvalidConfigurationRequest', message);

/**
 * Checks the subnets of a request.
 * @throws {AwsError} SubnetNotFound, InvalidSubnet, InvalidConfigurationRequest, AllocationIdNotFound, ValidationError.
 */
export function readZones(
  { state }: Context,
  { type, scheme }: Pick<LoadBalancer, 'type' | 'scheme'>,
  { Subnets, SubnetMappings }: SubnetInput,
): ZoneRequest[] {
  const given = Boolean(Subnets?.length) !== Boolean(SubnetMappings?.length);
  if (!given) throw invalid('You must specify either subnets or subnet mappings');
  const mappings: readonly SubnetMapping[] = Subnets?.length
    ? Subnets.map((SubnetId) => ({ SubnetId }))
    : SubnetMappings!;
  const zones = mappings.map(({ SubnetId = '', AllocationId, PrivateIPv4Address, IPv6Address }) => {
    const subnet = state.subnets[SubnetId];
    if (!subnet) throw new AwsError('SubnetNotFound', `The subnet ID '${SubnetId}' does not exist`);
    if (IPv6Address) throw badConfiguration('The VPCs of the lab have IPv4 CIDR blocks alone');
    if (type === 'application' && (AllocationId || PrivateIPv4Address)) {
      throw badConfiguration("Load balancers of type 'application' have no addresses of the user's choice");
    }
    if (AllocationId && scheme === 'internal') {
      throw badConfiguration('Elastic IP addresses are of internet-facing load balancers');
    }
    if (PrivateIPv4Address && scheme !== 'internal') {
      throw badConfiguration('Private addresses of your choice are of internal load balancers');
    }
    if (AllocationId && !state.elasticIps[AllocationId]) {
      throw new AwsError('AllocationIdNotFound', `The allocation ID '${AllocationId}' does not exist`);
    }
    return {
      subnet,
      ...(PrivateIPv4Address && { privateIp: PrivateIPv4Address }),
      ...(AllocationId && { allocationId: AllocationId }),
    };
  });
  checkTogether(
    state,
    { type, scheme },
    zones.map(({ subnet }) => subnet),
  );
  return zones;
}

function checkTogether(
  state: CloudState,
  { type, scheme }: Pick<LoadBalancer, 'type' | 'scheme'>,
  subnets: readonly Subnet[],
): void {
  const [{ vpcId }] = subnets as [Subnet];
  if (subnets.some((subnet) => subnet.vpcId !== vpcId)) {
    throw new AwsError('InvalidSubnet', 'All subnets of a load balancer must be in one VPC');
  }
  const zones = new Set(subnets.map(({ availabilityZone }) => availabilityZone));
  if (zones.size < subnets.length) {
    throw badConfiguration(
      'A load balancer cannot be attached to multiple subnets in the same Availability Zone',
    );
  }
  if (type === 'application' && zones.size < 2) {
    throw invalid('At least two subnets in two different Availability Zones must be specified');
  }
  const gateways = Object.values(state.internetGateways);
  if (scheme === 'internet-facing' && !gateways.some((gateway) => gateway.vpcId === vpcId)) {
    throw new AwsError('InvalidSubnet', `VPC ${vpcId} has no internet gateway`);
  }
}

/**
 * Gives a load balancer its interface in a zone, requester-managed, with a public address when it is internet-facing.
 * @throws {AwsError} InvalidSubnet for a subnet that is nearly full, InvalidConfigurationRequest for an address that
 * cannot be had, ResourceInUse for an Elastic IP address that is in use.
 */
export function openZone(
  context: Context,
  loadBalancer: LoadBalancer,
  request: ZoneRequest,
): LoadBalancerZone {
  const { state } = context;
  const { subnet, privateIp, allocationId } = request;
  if (availableAddresses(state, subnet) < FREE_ADDRESSES) {
    throw new AwsError(
      'InvalidSubnet',
      `Not enough IP space available in ${subnet.id}. ELB requires at least ${FREE_ADDRESSES} free IP addresses in each subnet.`,
    );
  }
  const isNetwork = loadBalancer.type === 'network';
  const eni = translated('InvalidConfigurationRequest', () =>
    createInterface(context, subnet, {
      kind: isNetwork ? 'network_load_balancer' : 'load_balancer',
      description: `ELB ${pathOf(loadBalancer)}`,
      groups: [...loadBalancer.securityGroups],
      // A network load balancer passes packets on with the client's address.
      sourceDestCheck: !isNetwork,
      addresses: { primary: privateIp },
      tags: {},
    }),
  );
  if (allocationId !== undefined) {
    const address = state.elasticIps[allocationId] as Draft<ElasticIp>;
    if (address.associationId !== undefined) {
      throw new AwsError('ResourceInUse', `The allocation ID '${allocationId}' is in use`);
    }
    translated('InvalidConfigurationRequest', () => associate(context, address, eni, eni.primaryIp, false));
  } else if (loadBalancer.scheme === 'internet-facing') {
    eni.publicIps[eni.primaryIp] = {
      publicIp: translated('InsufficientCapacity', () => takePublicAddress(state)),
    };
  }
  return { zone: subnet.availabilityZone, subnetId: subnet.id, networkInterfaceId: eni.id };
}

/** Takes a zone's interface away. */
export function closeZone(context: Context, { networkInterfaceId }: LoadBalancerZone): void {
  const eni = context.state.networkInterfaces[networkInterfaceId];
  if (eni) deleteInterface(context, eni);
}

/** What EC2 refuses, with a code of ELBv2. */
function translated<Result>(code: string, make: () => Result): Result {
  try {
    return make();
  } catch (error) {
    if (error instanceof AwsError) throw new AwsError(code, error.message);
    throw error;
  }
}

/** Whether an address of a subnet belongs to the interface of a zone, for requests that repeat what there is. */
export function isZoneAs(state: CloudState, zone: LoadBalancerZone, request: ZoneRequest): boolean {
  const eni = state.networkInterfaces[zone.networkInterfaceId];
  return (
    zone.subnetId === request.subnet.id &&
    (request.privateIp === undefined || eni?.primaryIp === request.privateIp) &&
    (request.allocationId === undefined ||
      Object.values(eni?.publicIps ?? {}).some(({ allocationId }) => allocationId === request.allocationId))
  );
}

/** The zone of an address inside a VPC; undefined when no subnet of it has the address. */
export function zoneOfAddress(state: CloudState, vpcId: string, address: string): string | undefined {
  const subnets = Object.values(state.subnets).filter((subnet) => subnet.vpcId === vpcId);
  return isIpv4(address) ? subnets.find(({ cidr }) => contains(cidr, address))?.availabilityZone : undefined;
}
