import type { InternetGateway as Ec2InternetGateway } from '@aws-sdk/client-ec2';
import type { Draft } from 'immer';
import { dependencyViolation, Ec2Error } from '../errors.ts';
import { describe, type FilterTable } from '../filters.ts';
import type { Context, Operations } from '../operation.ts';
import { find } from '../resources.ts';
import type { InternetGateway } from '../state.ts';
import { tagList, tagsFor } from '../tags.ts';

const filtersOf = ({ state }: Context): FilterTable<Draft<InternetGateway>> => ({
  'internet-gateway-id': (gateway) => gateway.id,
  'attachment.vpc-id': (gateway) => gateway.vpcId,
  'attachment.state': (gateway) => gateway.vpcId && 'available',
  'owner-id': () => state.accountId,
});

function describeGateway({ state }: Context, gateway: Draft<InternetGateway>): Ec2InternetGateway {
  return {
    InternetGatewayId: gateway.id,
    // What AWS says of an attached gateway is `available`, which is no member of the API's own enumeration.
    Attachments: gateway.vpcId ? [{ State: 'available' as never, VpcId: gateway.vpcId }] : [],
    OwnerId: state.accountId,
    Tags: tagList(gateway.tags),
  };
}

export const operations: Operations = {
  CreateInternetGateway(input, context) {
    const id = context.newId('igw');
    context.state.internetGateways[id] = {
      id,
      tags: tagsFor('internet-gateway', input.TagSpecifications, context.quotas),
    };
    return { InternetGateway: describeGateway(context, context.state.internetGateways[id]) };
  },

  DescribeInternetGateways(input, context) {
    const { items, nextToken } = describe(
      context.state,
      'internet-gateway',
      input.InternetGatewayIds,
      input,
      filtersOf(context),
    );
    return { InternetGateways: items.map((gateway) => describeGateway(context, gateway)), ...nextToken };
  },

  AttachInternetGateway(input, { state }) {
    const gateway = find(state, 'internet-gateway', input.InternetGatewayId);
    const vpc = find(state, 'vpc', input.VpcId);
    if (gateway.vpcId !== undefined) {
      throw new Ec2Error(
        'Resource.AlreadyAssociated',
        `resource ${gateway.id} is already attached to network ${gateway.vpcId}`,
      );
    }
    const other = Object.values(state.internetGateways).find(({ vpcId }) => vpcId === vpc.id);
    if (other) {
      throw new Ec2Error(
        'InvalidParameterValue',
        `Network ${vpc.id} already has an internet gateway attached: ${other.id}`,
      );
    }
    gateway.vpcId = vpc.id;
    return {};
  },

  DetachInternetGateway(input, { state }) {
    const gateway = find(state, 'internet-gateway', input.InternetGatewayId);
    const vpc = find(state, 'vpc', input.VpcId);
    if (gateway.vpcId !== vpc.id) {
      throw new Ec2Error(
        'Gateway.NotAttached',
        `resource ${gateway.id} is not attached to network ${vpc.id}`,
      );
    }
    const mapped = Object.values(state.networkInterfaces).filter(
      (eni) => eni.vpcId === vpc.id && Object.keys(eni.publicIps).length > 0,
    );
    if (mapped.length > 0) {
      throw new Ec2Error(
        'DependencyViolation',
        `Network ${vpc.id} has some mapped public address(es), of ${mapped.map(({ id }) => id).join(', ')}. ` +
          'Please unmap those public address(es) before detaching the gateway.',
      );
    }
    delete gateway.vpcId;
    return {};
  },

  DeleteInternetGateway({ InternetGatewayId }, { state }) {
    const gateway = find(state, 'internet-gateway', InternetGatewayId);
    if (gateway.vpcId) throw dependencyViolation('internetGateway', InternetGatewayId, [gateway.vpcId]);
    delete state.internetGateways[InternetGatewayId];
    return {};
  },
};
