import type { Subnet as Ec2Subnet } from '@aws-sdk/client-ec2';
import { contains, networkOf, overlaps, prefixLength } from '@enid/ip';
import type { Draft } from 'immer';
import { availableAddresses, checkCidr } from '../addressing.ts';
import { dependencyViolation, Ec2Error, invalidValue, missingParameter, refuseIpv6 } from '../errors.ts';
import { describe, type FilterTable } from '../filters.ts';
import { arn, zoneId } from '../names.ts';
import type { Context, Operations } from '../operation.ts';
import { find } from '../resources.ts';
import type { Subnet } from '../state.ts';
import { tagList, tagsFor } from '../tags.ts';

const filtersOf = ({ state }: Context): FilterTable<Draft<Subnet>> => ({
  'subnet-id': (subnet) => subnet.id,
  'subnet-arn': (subnet) => arn(state.region, state.accountId, 'subnet', subnet.id),
  'vpc-id': (subnet) => subnet.vpcId,
  'cidr-block': (subnet) => subnet.cidr,
  cidr: (subnet) => subnet.cidr,
  cidrBlock: (subnet) => subnet.cidr,
  'availability-zone': (subnet) => subnet.availabilityZone,
  availabilityZone: (subnet) => subnet.availabilityZone,
  'availability-zone-id': (subnet) => zoneId(subnet.availabilityZone),
  'available-ip-address-count': (subnet) => availableAddresses(state, subnet),
  'map-public-ip-on-launch': (subnet) => subnet.mapPublicIpOnLaunch,
  'default-for-az': () => false,
  'ipv6-native': () => false,
  'owner-id': () => state.accountId,
  state: () => 'available',
});

function describeSubnet({ state }: Context, subnet: Draft<Subnet>): Ec2Subnet {
  return {
    SubnetId: subnet.id,
    SubnetArn: arn(state.region, state.accountId, 'subnet', subnet.id),
    VpcId: subnet.vpcId,
    CidrBlock: subnet.cidr,
    AvailabilityZone: subnet.availabilityZone,
    AvailabilityZoneId: zoneId(subnet.availabilityZone),
    AvailableIpAddressCount: availableAddresses(state, subnet),
    MapPublicIpOnLaunch: subnet.mapPublicIpOnLaunch,
    AssignIpv6AddressOnCreation: false,
    DefaultForAz: false,
    EnableDns64: false,
    Ipv6Native: false,
    Ipv6CidrBlockAssociationSet: [],
    MapCustomerOwnedIpOnLaunch: false,
    OwnerId: state.accountId,
    PrivateDnsNameOptionsOnLaunch: {
      HostnameType: 'ip-name',
      EnableResourceNameDnsARecord: false,
      EnableResourceNameDnsAAAARecord: false,
    },
    State: 'available',
    Tags: tagList(subnet.tags),
  };
}

function zoneOf({ state }: Context, name: string | undefined, id: string | undefined): string {
  const zone =
    id === undefined ? (name ?? state.zones[0]!) : state.zones.find((known) => zoneId(known) === id);
  if (zone !== undefined && state.zones.includes(zone)) return zone;
  throw invalidValue(
    id ?? name,
    'availabilityZone',
    `Subnets can currently only be created in the following availability zones: ${state.zones.join(', ')}.`,
  );
}

export const operations: Operations = {
  CreateSubnet(input, context) {
    const { state, quotas } = context;
    refuseIpv6(input);
    const vpc = find(state, 'vpc', input.VpcId);
    if (input.CidrBlock === undefined) throw missingParameter('cidrBlock');
    const cidr = checkCidr(input.CidrBlock, 'cidrBlock');
    const fits = vpc.cidrBlocks.some(
      (block) => contains(block.cidr, networkOf(cidr)) && prefixLength(block.cidr) <= prefixLength(cidr),
    );
    if (!fits || prefixLength(cidr) > 28) {
      throw new Ec2Error('InvalidSubnet.Range', `The CIDR '${cidr}' is invalid.`);
    }
    const siblings = Object.values(state.subnets).filter((subnet) => subnet.vpcId === vpc.id);
    if (siblings.some((subnet) => overlaps(subnet.cidr, cidr))) {
      throw new Ec2Error('InvalidSubnet.Conflict', `The CIDR '${cidr}' conflicts with another subnet`);
    }
    if (siblings.length >= quotas.subnetsPerVpc) {
      throw new Ec2Error(
        'SubnetLimitExceeded',
        `The VPC has its maximum of ${quotas.subnetsPerVpc} subnets.`,
      );
    }
    const id = context.newId('subnet');
    state.subnets[id] = {
      id,
      vpcId: vpc.id,
      cidr,
      availabilityZone: zoneOf(context, input.AvailabilityZone, input.AvailabilityZoneId),
      mapPublicIpOnLaunch: false,
      nextOffset: 0,
      nextPrefixOffset: 0,
      tags: tagsFor('subnet', input.TagSpecifications, quotas),
    };
    return { Subnet: describeSubnet(context, state.subnets[id]) };
  },

  DescribeSubnets(input, context) {
    const { items, nextToken } = describe(
      context.state,
      'subnet',
      input.SubnetIds,
      input,
      filtersOf(context),
    );
    return { Subnets: items.map((subnet) => describeSubnet(context, subnet)), ...nextToken };
  },

  DeleteSubnet({ SubnetId }, { state }) {
    find(state, 'subnet', SubnetId);
    const dependents = Object.values(state.networkInterfaces).filter((eni) => eni.subnetId === SubnetId);
    if (dependents.length > 0)
      throw dependencyViolation(
        'subnet',
        SubnetId,
        dependents.map(({ id }) => id),
      );
    for (const table of Object.values(state.routeTables)) {
      table.associations = table.associations.filter(({ subnetId }) => subnetId !== SubnetId);
    }
    delete state.subnets[SubnetId];
    return {};
  },

  ModifySubnetAttribute(input, { state }) {
    const subnet = find(state, 'subnet', input.SubnetId);
    if (input.MapPublicIpOnLaunch?.Value === undefined) {
      throw new Ec2Error(
        'InvalidParameterCombination',
        'The attribute of a subnet that can be changed here is MapPublicIpOnLaunch.',
      );
    }
    subnet.mapPublicIpOnLaunch = input.MapPublicIpOnLaunch.Value;
    return {};
  },
};
