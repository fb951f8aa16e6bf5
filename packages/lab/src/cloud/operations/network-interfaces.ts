import type {
  NetworkInterface as Ec2NetworkInterface,
  NetworkInterfaceAttachment,
  NetworkInterfaceType,
  PrivateIpAddressSpecification,
} from '@aws-sdk/client-ec2';
import type { Draft } from 'immer';
import { Ec2Error, invalidCombination, refuseIpv6 } from '../errors.ts';
import { describe, type FilterTable } from '../filters.ts';
import { instanceType } from '../instance-types.ts';
import { attachInterface, checkGroups, createInterface, deleteInterface } from '../interfaces.ts';
import { privateDnsName, publicDnsName, zoneId } from '../names.ts';
import type { Context, Operations } from '../operation.ts';
import { find } from '../resources.ts';
import type { Attachment, NetworkInterface, PublicIp } from '../state.ts';
import { tagList, tagsFor } from '../tags.ts';

const addressesOf = (eni: Draft<NetworkInterface>) => [eni.primaryIp, ...eni.secondaryIps];
const publicIpsOf = (eni: Draft<NetworkInterface>) => Object.values(eni.publicIps);
const statusOf = (eni: Draft<NetworkInterface>) => (isHeld(eni) ? 'in-use' : 'available');
const isRequesterManaged = (eni: Draft<NetworkInterface>) =>
  eni.kind !== 'interface' || eni.holder !== undefined;
const isHeld = (eni: Draft<NetworkInterface>) => eni.attachment !== undefined || isRequesterManaged(eni);

const filtersOf = ({ state }: Context): FilterTable<Draft<NetworkInterface>> => {
  const groupNames = (eni: Draft<NetworkInterface>) => eni.groups.map((id) => state.securityGroups[id]?.name);
  return {
    'network-interface-id': (eni) => eni.id,
    'interface-type': (eni) => eni.kind,
    'subnet-id': (eni) => eni.subnetId,
    'vpc-id': (eni) => eni.vpcId,
    'availability-zone': (eni) => eni.availabilityZone,
    description: (eni) => eni.description,
    status: statusOf,
    'mac-address': (eni) => eni.mac,
    'group-id': (eni) => eni.groups,
    'group-name': groupNames,
    'owner-id': () => state.accountId,
    'requester-managed': isRequesterManaged,
    'source-dest-check': (eni) => eni.sourceDestCheck,
    'private-ip-address': addressesOf,
    'private-dns-name': (eni) => privateDnsName(state.region, eni.primaryIp),
    'addresses.private-ip-address': addressesOf,
    'addresses.primary': (eni) => addressesOf(eni).map((address) => address === eni.primaryIp),
    'addresses.association.public-ip': (eni) => publicIpsOf(eni).map(({ publicIp }) => publicIp),
    'association.public-ip': (eni) => publicIpsOf(eni).map(({ publicIp }) => publicIp),
    'association.allocation-id': (eni) => publicIpsOf(eni).map(({ allocationId }) => allocationId),
    'association.association-id': (eni) => publicIpsOf(eni).map(({ associationId }) => associationId),
    'attachment.attachment-id': (eni) => eni.attachment?.id,
    'attachment.instance-id': (eni) => eni.attachment?.instanceId,
    'attachment.instance-owner-id': (eni) => eni.attachment && state.accountId,
    'attachment.device-index': (eni) => eni.attachment?.deviceIndex,
    'attachment.network-card-index': (eni) => eni.attachment?.networkCardIndex,
    'attachment.status': (eni) => eni.attachment?.status,
    'attachment.delete-on-termination': (eni) => eni.attachment?.deleteOnTermination,
    'attachment.attach-time': (eni) => eni.attachment?.attachTime,
  };
};

function describeAttachment({ state }: Context, attachment: Draft<Attachment>): NetworkInterfaceAttachment {
  return {
    AttachmentId: attachment.id,
    AttachTime: new Date(attachment.attachTime),
    DeleteOnTermination: attachment.deleteOnTermination,
    DeviceIndex: attachment.deviceIndex,
    NetworkCardIndex: attachment.networkCardIndex,
    InstanceId: attachment.instanceId,
    InstanceOwnerId: state.accountId,
    Status: attachment.status,
  };
}

/** A public address as the answers about interfaces and instances have it. */
export function describePublicIp({ state }: Context, address: PublicIp) {
  return {
    PublicIp: address.publicIp,
    PublicDnsName: publicDnsName(state.region, address.publicIp),
    IpOwnerId: address.allocationId === undefined ? 'amazon' : state.accountId,
    ...(address.allocationId !== undefined && { AllocationId: address.allocationId }),
    ...(address.associationId !== undefined && { AssociationId: address.associationId }),
  };
}

/** The private addresses of an interface, each with the public one that stands for it. */
export function describeAddresses(context: Context, eni: Draft<NetworkInterface>) {
  return addressesOf(eni).map((address) => {
    const publicIp = eni.publicIps[address];
    return {
      PrivateIpAddress: address,
      PrivateDnsName: privateDnsName(context.state.region, address),
      Primary: address === eni.primaryIp,
      Association: publicIp && describePublicIp(context, publicIp),
    };
  });
}

/** The security groups of an interface as answers have them. */
export function describeGroups({ state }: Context, eni: Draft<NetworkInterface>) {
  return eni.groups.map((id) => ({ GroupId: id, GroupName: state.securityGroups[id]!.name }));
}

function describeInterface(context: Context, eni: Draft<NetworkInterface>): Ec2NetworkInterface {
  const { state } = context;
  const primaryPublicIp = eni.publicIps[eni.primaryIp];
  return {
    NetworkInterfaceId: eni.id,
    InterfaceType: eni.kind as NetworkInterfaceType,
    SubnetId: eni.subnetId,
    VpcId: eni.vpcId,
    AvailabilityZone: eni.availabilityZone,
    AvailabilityZoneId: zoneId(eni.availabilityZone),
    Description: eni.description,
    OwnerId: state.accountId,
    RequesterManaged: isRequesterManaged(eni),
    ...(eni.kind !== 'interface' && {
      RequesterId: eni.kind === 'nat_gateway' ? 'amazon-vpc' : 'amazon-elb',
    }),
    Status: statusOf(eni),
    MacAddress: eni.mac,
    SourceDestCheck: eni.sourceDestCheck,
    Groups: describeGroups(context, eni),
    PrivateIpAddress: eni.primaryIp,
    PrivateDnsName: privateDnsName(state.region, eni.primaryIp),
    PrivateIpAddresses: describeAddresses(context, eni),
    Ipv4Prefixes: eni.prefixes.map((Ipv4Prefix) => ({ Ipv4Prefix })),
    Ipv6Addresses: [],
    Association: primaryPublicIp && describePublicIp(context, primaryPublicIp),
    Attachment: eni.attachment && describeAttachment(context, eni.attachment),
    TagSet: tagList(eni.tags),
  };
}

/**
 * The addresses that a request to make an interface asks for, in its several ways of putting it.
 * @throws {Ec2Error} InvalidParameterCombination for two primary addresses.
 */
export function readAddresses(input: {
  PrivateIpAddress?: string | undefined;
  PrivateIpAddresses?: PrivateIpAddressSpecification[] | undefined;
  SecondaryPrivateIpAddressCount?: number | undefined;
  Ipv4Prefixes?: { Ipv4Prefix?: string | undefined }[] | undefined;
  Ipv4PrefixCount?: number | undefined;
}) {
  const listed = input.PrivateIpAddresses ?? [];
  const primaries = [
    input.PrivateIpAddress,
    ...listed.filter(({ Primary }) => Primary).map(({ PrivateIpAddress }) => PrivateIpAddress),
  ].filter((address) => address !== undefined);
  if (primaries.length > 1) throw invalidCombination('Only one primary private IP address can be specified');
  return {
    primary: primaries[0],
    secondary: listed
      .filter(({ Primary }) => !Primary)
      .map(({ PrivateIpAddress }) => PrivateIpAddress)
      .filter((address) => address !== undefined),
    secondaryCount: input.SecondaryPrivateIpAddressCount,
    prefixes: input.Ipv4Prefixes?.map(({ Ipv4Prefix }) => Ipv4Prefix ?? ''),
    prefixCount: input.Ipv4PrefixCount,
  };
}

function findAttachment({ state }: Context, id: string): Draft<NetworkInterface> {
  const eni = Object.values(state.networkInterfaces).find(({ attachment }) => attachment?.id === id);
  if (eni) return eni;
  throw new Ec2Error('InvalidAttachmentID.NotFound', `The attachment ID '${id}' does not exist`);
}

export const operations: Operations = {
  CreateNetworkInterface(input, context) {
    const { state } = context;
    const { ClientToken: clientToken } = input;
    const same = Object.values(state.networkInterfaces).find((other) => other.clientToken === clientToken);
    if (same && clientToken !== undefined) {
      return { ClientToken: clientToken, NetworkInterface: describeInterface(context, same) };
    }
    refuseIpv6(input);
    if (input.InterfaceType !== undefined) {
      throw new Ec2Error(
        'InvalidParameterValue',
        `Interfaces of type '${input.InterfaceType}' do not exist in the lab.`,
      );
    }
    const subnet = find(state, 'subnet', input.SubnetId);
    const eni = createInterface(context, subnet, {
      description: input.Description,
      groups: checkGroups(context, input.Groups, { vpcId: subnet.vpcId, subnetId: subnet.id }),
      addresses: readAddresses(input),
      clientToken,
      tags: tagsFor('network-interface', input.TagSpecifications, context.quotas),
    });
    // What AWS says of a new interface is `pending`, which is no member of the API's own enumeration.
    const status = { Status: 'pending' as never };
    return { ClientToken: clientToken, NetworkInterface: { ...describeInterface(context, eni), ...status } };
  },

  DescribeNetworkInterfaces(input, context) {
    const { items, nextToken } = describe(
      context.state,
      'network-interface',
      input.NetworkInterfaceIds,
      input,
      filtersOf(context),
    );
    return { NetworkInterfaces: items.map((eni) => describeInterface(context, eni)), ...nextToken };
  },

  DeleteNetworkInterface({ NetworkInterfaceId }, context) {
    const eni = find(context.state, 'network-interface', NetworkInterfaceId);
    if (isHeld(eni)) {
      throw new Ec2Error('InvalidParameterValue', `Network interface '${eni.id}' is currently in use.`);
    }
    deleteInterface(context, eni);
    return {};
  },

  AttachNetworkInterface(input, context) {
    const { state } = context;
    const eni = find(state, 'network-interface', input.NetworkInterfaceId);
    const instance = find(state, 'instance', input.InstanceId);
    if (isHeld(eni)) throw new Ec2Error('InvalidNetworkInterface.InUse', `Interface: [${eni.id}] in use.`);
    if (instance.state !== 'running' && instance.state !== 'pending') {
      throw new Ec2Error(
        'IncorrectState',
        `Instance '${instance.id}' is ${instance.state}: interfaces are attached to running instances.`,
      );
    }
    if (eni.vpcId !== instance.vpcId || eni.availabilityZone !== instance.availabilityZone) {
      throw invalidCombination(
        'You may not attach a network interface to an instance if they are not in the same availability zone: ' +
          `${eni.id} is in ${eni.availabilityZone} of ${eni.vpcId}, ` +
          `${instance.id} in ${instance.availabilityZone} of ${instance.vpcId}`,
      );
    }
    const attachment = attachInterface(context, eni, instance.id, instanceType(instance.type), {
      index: input.DeviceIndex,
      networkCard: input.NetworkCardIndex,
      deleteOnTermination: false,
    });
    return { AttachmentId: attachment.id, NetworkCardIndex: attachment.networkCardIndex };
  },

  DetachNetworkInterface({ AttachmentId }, context) {
    const eni = findAttachment(context, AttachmentId);
    const attachment = eni.attachment!;
    if (attachment.deviceIndex === 0) {
      throw new Ec2Error(
        'OperationNotPermitted',
        'The network interface at device index 0 and networkCard index 0 cannot be detached.',
      );
    }
    attachment.status = 'detaching';
    return {};
  },

  ModifyNetworkInterfaceAttribute(input, context) {
    const eni = find(context.state, 'network-interface', input.NetworkInterfaceId);
    if (input.Attachment) {
      if (!eni.attachment || eni.attachment.id !== input.Attachment.AttachmentId) {
        throw new Ec2Error(
          'InvalidAttachmentID.NotFound',
          `The attachment ID '${input.Attachment.AttachmentId}' is not one of ${eni.id}`,
        );
      }
      eni.attachment.deleteOnTermination =
        input.Attachment.DeleteOnTermination ?? eni.attachment.deleteOnTermination;
    }
    if (input.Groups) eni.groups = checkGroups(context, input.Groups, eni);
    eni.sourceDestCheck = input.SourceDestCheck?.Value ?? eni.sourceDestCheck;
    eni.description = input.Description?.Value ?? eni.description;
    return {};
  },

  DescribeNetworkInterfaceAttribute({ NetworkInterfaceId, Attribute }, context) {
    const eni = find(context.state, 'network-interface', NetworkInterfaceId);
    if (Attribute === 'attachment') {
      return {
        NetworkInterfaceId,
        Attachment: eni.attachment && describeAttachment(context, eni.attachment),
      };
    }
    if (Attribute === 'description') return { NetworkInterfaceId, Description: { Value: eni.description } };
    if (Attribute === 'groupSet') return { NetworkInterfaceId, Groups: describeGroups(context, eni) };
    if (Attribute === 'sourceDestCheck') {
      return { NetworkInterfaceId, SourceDestCheck: { Value: eni.sourceDestCheck } };
    }
    throw new Ec2Error(
      'InvalidParameterValue',
      `A network interface has no attribute '${Attribute}' in the lab.`,
    );
  },
};
