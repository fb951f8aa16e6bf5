import type { Address } from '@aws-sdk/client-ec2';
import type { Draft } from 'immer';
import { takePublicAddress } from '../addressing.ts';
import { Ec2Error, missingParameter } from '../errors.ts';
import { describe, type FilterTable } from '../filters.ts';
import { dissociate, releasePublicIp } from '../interfaces.ts';
import type { Context, Operations } from '../operation.ts';
import { find } from '../resources.ts';
import { type ElasticIp, interfacesOf, type NetworkInterface } from '../state.ts';
import { tagList, tagsFor } from '../tags.ts';

const instanceOf = ({ state }: Context, address: Draft<ElasticIp>): string | undefined =>
  state.networkInterfaces[address.networkInterfaceId ?? '']?.attachment?.instanceId;

const filtersOf = (context: Context): FilterTable<Draft<ElasticIp>> => ({
  'allocation-id': (address) => address.allocationId,
  'association-id': (address) => address.associationId,
  domain: () => 'vpc',
  'instance-id': (address) => instanceOf(context, address),
  'network-border-group': () => context.state.region,
  'network-interface-id': (address) => address.networkInterfaceId,
  'network-interface-owner-id': (address) => address.networkInterfaceId && context.state.accountId,
  'private-ip-address': (address) => address.privateIp,
  'public-ip': (address) => address.publicIp,
});

function describeAddress(context: Context, address: Draft<ElasticIp>): Address {
  const { state } = context;
  return {
    AllocationId: address.allocationId,
    AssociationId: address.associationId,
    Domain: 'vpc',
    InstanceId: instanceOf(context, address),
    NetworkBorderGroup: state.region,
    NetworkInterfaceId: address.networkInterfaceId,
    NetworkInterfaceOwnerId: address.networkInterfaceId && state.accountId,
    PrivateIpAddress: address.privateIp,
    PublicIp: address.publicIp,
    PublicIpv4Pool: 'amazon',
    Tags: tagList(address.tags),
  };
}

/** The address of a request, by allocation id or by the address itself. */
function addressOf(
  { state }: Context,
  { AllocationId, PublicIp }: { AllocationId?: string | undefined; PublicIp?: string | undefined },
): Draft<ElasticIp> {
  if (AllocationId !== undefined) return find(state, 'elastic-ip', AllocationId);
  if (PublicIp === undefined) throw missingParameter('AllocationId');
  const address = Object.values(state.elasticIps).find(({ publicIp }) => publicIp === PublicIp);
  if (!address) throw new Ec2Error('InvalidAddress.NotFound', `Address '${PublicIp}' not found.`);
  return address;
}

/** The interface of a request: itself, or the primary one of an instance. */
function interfaceOf(
  { state }: Context,
  input: { NetworkInterfaceId?: string | undefined; InstanceId?: string | undefined },
): Draft<NetworkInterface> {
  if (input.NetworkInterfaceId !== undefined)
    return find(state, 'network-interface', input.NetworkInterfaceId);
  if (input.InstanceId === undefined) throw missingParameter('InstanceId');
  const [primary] = interfacesOf(state, find(state, 'instance', input.InstanceId).id);
  if (primary) return find(state, 'network-interface', primary.id);
  throw new Ec2Error(
    'IncorrectInstanceState',
    `The instance '${input.InstanceId}' has no network interface.`,
  );
}

/**
 * Puts an Elastic IP address on a private address of an interface; what public address that one has makes place.
 * @throws {Ec2Error} when the VPC has no internet gateway, or the address is in use and may not move.
 */
export function associate(
  context: Context,
  address: Draft<ElasticIp>,
  eni: Draft<NetworkInterface>,
  privateIp: string,
  mayMove: boolean,
): string {
  const { state } = context;
  if (!Object.values(state.internetGateways).some(({ vpcId }) => vpcId === eni.vpcId)) {
    throw new Ec2Error('Gateway.NotAttached', `Network ${eni.vpcId} is not attached to any internet gateway`);
  }
  const previous = eni.publicIps[privateIp];
  const conflict = address.associationId !== undefined || previous?.allocationId !== undefined;
  if (conflict && previous?.allocationId !== address.allocationId && !mayMove) {
    throw new Ec2Error(
      'Resource.AlreadyAssociated',
      `resource ${address.allocationId} is already associated with associate-id ` +
        `${address.associationId ?? previous?.associationId}: allow reassociation to move it`,
    );
  }
  dissociate(context, address);
  releasePublicIp(context, eni, privateIp);
  const associationId = context.newId('eipassoc');
  address.associationId = associationId;
  address.networkInterfaceId = eni.id;
  address.privateIp = privateIp as typeof eni.primaryIp;
  eni.publicIps[privateIp] = {
    publicIp: address.publicIp,
    allocationId: address.allocationId,
    associationId,
  };
  return associationId;
}

function checkNotOfNatGateway({ state }: Context, { networkInterfaceId }: Draft<ElasticIp>): void {
  if (state.networkInterfaces[networkInterfaceId ?? '']?.kind !== 'nat_gateway') return;
  throw new Ec2Error(
    'AuthFailure',
    `You do not have permission to access the specified resource: ${networkInterfaceId} belongs to a NAT gateway.`,
  );
}

export const operations: Operations = {
  AllocateAddress(input, context) {
    const { state, quotas } = context;
    if (Object.keys(state.elasticIps).length >= quotas.elasticIps) {
      throw new Ec2Error(
        'AddressLimitExceeded',
        `The maximum number of addresses (${quotas.elasticIps}) has been reached.`,
      );
    }
    const allocationId = context.newId('eipalloc');
    const publicIp = takePublicAddress(state);
    state.elasticIps[allocationId] = {
      allocationId,
      publicIp,
      tags: tagsFor('elastic-ip', input.TagSpecifications, quotas),
    };
    return {
      AllocationId: allocationId,
      PublicIp: publicIp,
      Domain: 'vpc',
      NetworkBorderGroup: state.region,
      PublicIpv4Pool: 'amazon',
    };
  },

  DescribeAddresses(input, context) {
    const byAddress = input.PublicIps?.map((PublicIp) => addressOf(context, { PublicIp }).allocationId);
    const ids = input.AllocationIds?.length ? input.AllocationIds : byAddress;
    const { items } = describe(
      context.state,
      'elastic-ip',
      ids,
      { Filters: input.Filters },
      filtersOf(context),
    );
    return { Addresses: items.map((address) => describeAddress(context, address)) };
  },

  AssociateAddress(input, context) {
    const address = addressOf(context, input);
    const eni = interfaceOf(context, input);
    const privateIp = input.PrivateIpAddress ?? eni.primaryIp;
    if (![eni.primaryIp, ...eni.secondaryIps].some((own) => own === privateIp)) {
      throw new Ec2Error(
        'InvalidParameterValue',
        `The private IP address ${privateIp} is not assigned to ${eni.id}`,
      );
    }
    return { AssociationId: associate(context, address, eni, privateIp, input.AllowReassociation ?? true) };
  },

  DisassociateAddress(input, context) {
    const { AssociationId } = input;
    const address =
      AssociationId === undefined
        ? addressOf(context, input)
        : Object.values(context.state.elasticIps).find(
            ({ associationId }) => associationId === AssociationId,
          );
    if (!address) {
      throw new Ec2Error(
        'InvalidAssociationID.NotFound',
        `The association ID '${AssociationId}' does not exist`,
      );
    }
    checkNotOfNatGateway(context, address);
    dissociate(context, address);
    return {};
  },

  ReleaseAddress(input, context) {
    const address = addressOf(context, input);
    if (address.associationId !== undefined) {
      throw new Ec2Error(
        'InvalidIPAddress.InUse',
        `Address ${address.publicIp} is in use, on ${address.networkInterfaceId}: disassociate it first.`,
      );
    }
    delete context.state.elasticIps[address.allocationId];
    return {};
  },
};
