import type { Vpc as Ec2Vpc } from '@aws-sdk/client-ec2';
import { contains, type Ipv4Cidr, networkOf, overlaps, parseIpv4Cidr, prefixLength } from '@enid/ip';
import type { Draft } from 'immer';
import { checkCidr } from '../addressing.ts';
import {
  dependencyViolation,
  Ec2Error,
  invalidCombination,
  missingParameter,
  refuseIpv6,
} from '../errors.ts';
import { describe, type FilterTable } from '../filters.ts';
import type { Context, Operations } from '../operation.ts';
import { find } from '../resources.ts';
import type { Vpc } from '../state.ts';
import { tagList, tagsFor } from '../tags.ts';
import { createDefaultGroup } from './security-groups.ts';

const filters: FilterTable<Draft<Vpc>> = {
  'vpc-id': (vpc) => vpc.id,
  cidr: (vpc) => vpc.cidrBlocks[0]?.cidr,
  'cidr-block-association.cidr-block': (vpc) => vpc.cidrBlocks.map(({ cidr }) => cidr),
  'cidr-block-association.association-id': (vpc) => vpc.cidrBlocks.map((block) => block.associationId),
  'cidr-block-association.state': () => 'associated',
  'is-default': (vpc) => vpc.isDefault,
  isDefault: (vpc) => vpc.isDefault,
  state: () => 'available',
};

const describeBlock = ({ associationId, cidr }: Vpc['cidrBlocks'][number]) => ({
  AssociationId: associationId,
  CidrBlock: cidr,
  CidrBlockState: { State: 'associated' as const },
});

function describeVpc(vpc: Draft<Vpc>, ownerId: string): Ec2Vpc {
  return {
    VpcId: vpc.id,
    CidrBlock: vpc.cidrBlocks[0]!.cidr,
    CidrBlockAssociationSet: vpc.cidrBlocks.map(describeBlock),
    DhcpOptionsId: 'default',
    InstanceTenancy: 'default',
    IsDefault: vpc.isDefault,
    OwnerId: ownerId,
    State: 'available',
    Tags: tagList(vpc.tags),
  };
}

/** Ranges of which a VPC takes further blocks only when its first is in the same one. */
const PRIVATE_RANGES = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '198.19.0.0/16'].map(parseIpv4Cidr);

function checkVpcCidr(text: string, parameter: string): Ipv4Cidr {
  const cidr = checkCidr(text, parameter);
  if (prefixLength(cidr) >= 16 && prefixLength(cidr) <= 28) return cidr;
  throw new Ec2Error(
    'InvalidVpc.Range',
    `The CIDR '${cidr}' is invalid: its prefix length is not in 16 to 28.`,
  );
}

function checkFurtherCidr(vpc: Draft<Vpc>, cidr: Ipv4Cidr): void {
  const rangeOf = (block: Ipv4Cidr) => PRIVATE_RANGES.find((range) => contains(range, networkOf(block)));
  const range = rangeOf(cidr);
  if (range && range !== rangeOf(vpc.cidrBlocks[0]!.cidr)) {
    throw new Ec2Error(
      'InvalidVpc.Range',
      `The CIDR '${cidr}' is restricted. Use a CIDR from the same private address range as the current VPC CIDR, ` +
        'or use a publicly-routable CIDR.',
    );
  }
  const taken = vpc.cidrBlocks.find((block) => overlaps(block.cidr, cidr));
  if (taken)
    throw new Ec2Error('InvalidVpc.Range', `The CIDR '${cidr}' conflicts with ${taken.cidr} of the VPC.`);
}

const tablesOf = ({ state }: Context, vpcId: string) =>
  Object.values(state.routeTables).filter((table) => table.vpcId === vpcId);

/** Every route table of a VPC routes each of its blocks locally. */
const localRoute = (destination: Ipv4Cidr) => ({
  destination,
  target: { kind: 'local' as const },
  origin: 'CreateRouteTable' as const,
});

export const operations: Operations = {
  CreateVpc(input, context) {
    const { state, quotas } = context;
    refuseIpv6(input);
    if (input.CidrBlock === undefined) throw missingParameter('cidrBlock');
    const cidr = checkVpcCidr(input.CidrBlock, 'cidrBlock');
    if (Object.keys(state.vpcs).length >= quotas.vpcs) {
      throw new Ec2Error('VpcLimitExceeded', `The maximum number of VPCs (${quotas.vpcs}) has been reached.`);
    }
    const id = context.newId('vpc');
    state.vpcs[id] = {
      id,
      cidrBlocks: [{ associationId: context.newId('vpc-cidr-assoc'), cidr }],
      isDefault: false,
      enableDnsSupport: true,
      enableDnsHostnames: false,
      tags: tagsFor('vpc', input.TagSpecifications, quotas),
    };
    const tableId = context.newId('rtb');
    state.routeTables[tableId] = {
      id: tableId,
      vpcId: id,
      mainAssociationId: context.newId('rtbassoc'),
      associations: [],
      routes: [localRoute(cidr)],
      tags: {},
    };
    createDefaultGroup(context, id);
    return { Vpc: { ...describeVpc(state.vpcs[id], state.accountId), State: 'pending' } };
  },

  DescribeVpcs(input, { state }) {
    const { items, nextToken } = describe(state, 'vpc', input.VpcIds, input, {
      ...filters,
      'owner-id': () => state.accountId,
    });
    return { Vpcs: items.map((vpc) => describeVpc(vpc, state.accountId)), ...nextToken };
  },

  DeleteVpc({ VpcId }, context) {
    const { state } = context;
    find(state, 'vpc', VpcId);
    const dependents = [
      ...Object.values(state.subnets),
      ...Object.values(state.internetGateways),
      ...Object.values(state.networkInterfaces),
      ...Object.values(state.securityGroups).filter((group) => group.name !== 'default'),
      ...Object.values(state.routeTables).filter((table) => table.mainAssociationId === undefined),
    ].filter((resource) => resource.vpcId === VpcId);
    if (dependents.length > 0)
      throw dependencyViolation(
        'vpc',
        VpcId,
        dependents.map(({ id }) => id),
      );
    for (const table of tablesOf(context, VpcId)) delete state.routeTables[table.id];
    for (const group of Object.values(state.securityGroups)) {
      if (group.vpcId === VpcId) delete state.securityGroups[group.id];
    }
    delete state.vpcs[VpcId];
    return {};
  },

  AssociateVpcCidrBlock(input, context) {
    refuseIpv6(input);
    const vpc = find(context.state, 'vpc', input.VpcId);
    if (input.CidrBlock === undefined) throw missingParameter('cidrBlock');
    const cidr = checkVpcCidr(input.CidrBlock, 'cidrBlock');
    checkFurtherCidr(vpc, cidr);
    const limit = context.quotas.cidrBlocksPerVpc;
    if (vpc.cidrBlocks.length >= limit) {
      throw new Ec2Error(
        'CidrLimitExceeded',
        `This network '${vpc.id}' has met its maximum of ${limit} CIDRs.`,
      );
    }
    const block = { associationId: context.newId('vpc-cidr-assoc'), cidr };
    vpc.cidrBlocks.push(block);
    for (const table of tablesOf(context, vpc.id)) table.routes.push(localRoute(cidr));
    return {
      VpcId: vpc.id,
      CidrBlockAssociation: { ...describeBlock(block), CidrBlockState: { State: 'associating' } },
    };
  },

  DisassociateVpcCidrBlock({ AssociationId }, context) {
    const { state } = context;
    const vpc = Object.values(state.vpcs).find(({ cidrBlocks }) =>
      cidrBlocks.some(({ associationId }) => associationId === AssociationId),
    );
    const block = vpc?.cidrBlocks.find(({ associationId }) => associationId === AssociationId);
    if (!vpc || !block) {
      throw new Ec2Error(
        'InvalidVpcCidrBlockAssociationID.NotFound',
        `The vpc CIDR block association ID '${AssociationId}' does not exist`,
      );
    }
    if (block === vpc.cidrBlocks[0]) {
      throw new Ec2Error(
        'OperationNotPermitted',
        `The vpc CIDR block with association ID ${AssociationId} may not be disassociated. ` +
          'It is the primary IPv4 CIDR block of the VPC',
      );
    }
    const subnets = Object.values(state.subnets).filter(
      (subnet) => subnet.vpcId === vpc.id && overlaps(subnet.cidr, block.cidr),
    );
    if (subnets.length > 0)
      throw dependencyViolation(
        'CIDR block',
        block.cidr,
        subnets.map(({ id }) => id),
      );
    const answer = {
      VpcId: vpc.id,
      CidrBlockAssociation: { ...describeBlock(block), CidrBlockState: { State: 'disassociating' as const } },
    };
    for (const table of tablesOf(context, vpc.id)) {
      table.routes = table.routes.filter(
        ({ destination, target }) => target.kind !== 'local' || destination !== block.cidr,
      );
    }
    vpc.cidrBlocks = vpc.cidrBlocks.filter((other) => other !== block);
    return answer;
  },

  ModifyVpcAttribute(input, { state }) {
    const vpc = find(state, 'vpc', input.VpcId);
    const attributes = [input.EnableDnsHostnames, input.EnableDnsSupport].filter(
      (value) => value !== undefined,
    );
    if (attributes.length !== 1) {
      throw invalidCombination('Specify one attribute: EnableDnsHostnames or EnableDnsSupport');
    }
    vpc.enableDnsHostnames = input.EnableDnsHostnames?.Value ?? vpc.enableDnsHostnames;
    vpc.enableDnsSupport = input.EnableDnsSupport?.Value ?? vpc.enableDnsSupport;
    return {};
  },

  DescribeVpcAttribute({ VpcId, Attribute }, { state }) {
    const vpc = find(state, 'vpc', VpcId);
    if (Attribute === 'enableDnsHostnames')
      return { VpcId, EnableDnsHostnames: { Value: vpc.enableDnsHostnames } };
    if (Attribute === 'enableDnsSupport') return { VpcId, EnableDnsSupport: { Value: vpc.enableDnsSupport } };
    throw new Ec2Error('InvalidParameterValue', `The lab's VPCs have no attribute '${Attribute}'.`);
  },
};
