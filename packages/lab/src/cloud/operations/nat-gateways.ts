import type { NatGateway as Ec2NatGateway } from '@aws-sdk/client-ec2';
import type { Draft } from 'immer';
import { Ec2Error, invalidCombination, missingParameter } from '../errors.ts';
import { describe, type FilterTable } from '../filters.ts';
import { createInterface } from '../interfaces.ts';
import type { Context, Operations } from '../operation.ts';
import { find } from '../resources.ts';
import type { NatGateway } from '../state.ts';
import { tagList, tagsFor } from '../tags.ts';
import { associate } from './elastic-ips.ts';

const filters: FilterTable<Draft<NatGateway>> = {
  'nat-gateway-id': (gateway) => gateway.id,
  state: (gateway) => gateway.state,
  'subnet-id': (gateway) => gateway.subnetId,
  'vpc-id': (gateway) => gateway.vpcId,
};

function describeGateway({ state }: Context, gateway: Draft<NatGateway>): Ec2NatGateway {
  const association = Object.values(state.elasticIps).find(
    ({ allocationId }) => allocationId === gateway.allocationId,
  )?.associationId;
  return {
    NatGatewayId: gateway.id,
    VpcId: gateway.vpcId,
    SubnetId: gateway.subnetId,
    State: gateway.state,
    ConnectivityType: gateway.connectivity,
    CreateTime: new Date(gateway.createTime),
    DeleteTime: gateway.deleteTime === undefined ? undefined : new Date(gateway.deleteTime),
    NatGatewayAddresses: [
      {
        AllocationId: gateway.allocationId,
        AssociationId: association,
        IsPrimary: true,
        NetworkInterfaceId: gateway.networkInterfaceId,
        PrivateIp: gateway.privateIp,
        PublicIp: gateway.publicIp,
        Status: 'succeeded',
      },
    ],
    Tags: tagList(gateway.tags),
  };
}

export const operations: Operations = {
  CreateNatGateway(input, context) {
    const { state } = context;
    const { ClientToken: clientToken, AllocationId: allocationId } = input;
    const same = Object.values(state.natGateways).find((other) => other.clientToken === clientToken);
    if (same && clientToken !== undefined) {
      return { ClientToken: clientToken, NatGateway: describeGateway(context, same) };
    }
    if (input.SubnetId === undefined) throw missingParameter('subnetId');
    const subnet = find(state, 'subnet', input.SubnetId);
    const connectivity = input.ConnectivityType ?? 'public';
    if (connectivity === 'public' && allocationId === undefined) throw missingParameter('AllocationId');
    if (connectivity === 'private' && allocationId !== undefined) {
      throw invalidCombination('A private NAT gateway takes no Elastic IP address: leave out AllocationId');
    }
    const tags = tagsFor('natgateway', input.TagSpecifications, context.quotas);
    const id = context.newId('nat');
    const eni = createInterface(context, subnet, {
      kind: 'nat_gateway',
      description: `Interface for NAT Gateway ${id}`,
      // No security group binds a NAT gateway, and what it forwards is not its own.
      groups: [],
      sourceDestCheck: false,
      addresses: { primary: input.PrivateIpAddress },
      tags: {},
    });
    const address = allocationId === undefined ? undefined : find(state, 'elastic-ip', allocationId);
    if (address) associate(context, address, eni, eni.primaryIp, false);
    state.natGateways[id] = {
      id,
      vpcId: subnet.vpcId,
      subnetId: subnet.id,
      ...(clientToken !== undefined && { clientToken }),
      networkInterfaceId: eni.id,
      privateIp: eni.primaryIp,
      connectivity,
      ...(address && { allocationId: address.allocationId, publicIp: address.publicIp }),
      state: 'pending',
      createTime: context.now.toISOString(),
      tags,
    };
    return { ClientToken: clientToken, NatGateway: describeGateway(context, state.natGateways[id]) };
  },

  DescribeNatGateways(input, context) {
    const { items, nextToken } = describe(
      context.state,
      'natgateway',
      input.NatGatewayIds,
      { ...input, Filters: input.Filter },
      filters,
    );
    return { NatGateways: items.map((gateway) => describeGateway(context, gateway)), ...nextToken };
  },

  DeleteNatGateway({ NatGatewayId }, { state, now }) {
    const gateway = find(state, 'natgateway', NatGatewayId);
    if (gateway.state === 'deleted') {
      throw new Ec2Error('NatGatewayNotFound', `The NAT gateway '${NatGatewayId}' does not exist`);
    }
    gateway.state = 'deleting';
    gateway.deleteTime ??= now.toISOString();
    return { NatGatewayId };
  },
};
