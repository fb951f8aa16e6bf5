/** The life of network interfaces and of the public addresses on them, for whichever operation needs it. */
import type { Ipv4, Ipv4Cidr } from '@enid/ip';
import type { Draft } from 'immer';
import {
  addressInUse,
  checkAddress,
  checkPrefix,
  ownerOf,
  takeAddresses,
  takePrefixes,
} from './addressing.ts';
import { Ec2Error, invalidCombination } from './errors.ts';
import type { InstanceType } from './instance-types.ts';
import type { Context } from './operation.ts';
import { find } from './resources.ts';
import {
  type Attachment,
  type ElasticIp,
  interfacesOf,
  type NetworkInterface,
  type Subnet,
} from './state.ts';

/** Addresses that an interface is to have, by name or by number. */
export type AddressRequest = {
  readonly primary?: string | undefined;
  readonly secondary?: readonly string[] | undefined;
  readonly secondaryCount?: number | undefined;
  readonly prefixes?: readonly string[] | undefined;
  readonly prefixCount?: number | undefined;
};

/** The security group that a VPC's interfaces are in unless others are named. */
export function defaultGroupOf(context: Context, vpcId: string): string {
  return Object.values(context.state.securityGroups).find(
    (group) => group.vpcId === vpcId && group.name === 'default',
  )!.id;
}

/**
 * Checks the security groups of an interface; none means the VPC's default group.
 * @throws {Ec2Error} NotFound, InvalidParameter for a group of another VPC, or the limit of groups.
 */
export function checkGroups(
  context: Context,
  ids: readonly string[] | undefined,
  place: { vpcId: string; subnetId: string },
): string[] {
  if (!ids?.length) return [defaultGroupOf(context, place.vpcId)];
  const groups = [...new Set(ids)];
  for (const id of groups) {
    if (find(context.state, 'security-group', id).vpcId === place.vpcId) continue;
    throw new Ec2Error(
      'InvalidParameter',
      `Security group ${id} and subnet ${place.subnetId} belong to different networks.`,
    );
  }
  const limit = context.quotas.securityGroupsPerInterface;
  if (groups.length > limit) {
    throw new Ec2Error(
      'SecurityGroupsPerInterfaceLimitExceeded',
      `The maximum number of security groups per interface (${limit}) has been reached.`,
    );
  }
  return groups;
}

/** The most IPv4 addresses that an interface of any instance type has. */
const MOST_ADDRESSES = 50;

/** How many of an interface's address slots are filled: a delegated prefix fills one. */
export const slotsOf = (eni: Pick<NetworkInterface, 'secondaryIps' | 'prefixes'>): number =>
  1 + eni.secondaryIps.length + eni.prefixes.length;

/** @throws {Ec2Error} PrivateIpAddressLimitExceeded. */
export function checkSlots(slots: number, type: InstanceType | undefined): void {
  if (slots <= (type?.ipv4PerEni ?? MOST_ADDRESSES)) return;
  throw new Ec2Error('PrivateIpAddressLimitExceeded', 'Number of private addresses will exceed limit.');
}

/** @throws {Ec2Error} UnsupportedOperation for a type whose interfaces take no prefixes. */
export function checkTakesPrefixes({ name, hypervisor }: InstanceType): void {
  if (hypervisor !== 'xen') return;
  throw new Ec2Error(
    'UnsupportedOperation',
    `Prefixes cannot be assigned to an interface of a ${name}: this takes an instance on Nitro.`,
  );
}

/**
 * Takes secondary addresses and prefixes out of a subnet, for an interface or one to be.
 * @throws {Ec2Error} for what is not free, not the subnet's, or too much.
 */
export function takeSecondary(
  context: Context,
  subnet: Draft<Subnet>,
  request: AddressRequest,
): { addresses: Ipv4[]; prefixes: Ipv4Cidr[] } {
  const asked = [request.secondary, request.secondaryCount, request.prefixes, request.prefixCount];
  if (asked.filter((value) => (Array.isArray(value) ? value.length : value)).length > 1) {
    throw invalidCombination(
      'Specify secondary private IP addresses, or their number, or prefixes, or their number: one of the four.',
    );
  }
  const { state } = context;
  const addresses = (request.secondary ?? []).map((text) => {
    const address = checkAddress(subnet, text, 'privateIpAddress');
    if (ownerOf(state, subnet.id, address)) throw addressInUse(address);
    return address;
  });
  const prefixes = (request.prefixes ?? []).map((text) => checkPrefix(state, subnet, text));
  return {
    addresses: [...addresses, ...takeAddresses(state, subnet, request.secondaryCount ?? 0)],
    prefixes: [...prefixes, ...takePrefixes(state, subnet, request.prefixCount ?? 0)],
  };
}

/**
 * Makes an interface, attached to nothing.
 * @throws {Ec2Error} for addresses that cannot be had, and the account's limit of interfaces.
 */
export function createInterface(
  context: Context,
  subnet: Draft<Subnet>,
  options: {
    kind?: NetworkInterface['kind'];
    holder?: string;
    description?: string | undefined;
    groups: string[];
    addresses?: AddressRequest;
    sourceDestCheck?: boolean;
    clientToken?: string | undefined;
    tags: Record<string, string>;
  },
): Draft<NetworkInterface> {
  const { state, quotas } = context;
  if (Object.keys(state.networkInterfaces).length >= quotas.networkInterfaces) {
    throw new Ec2Error(
      'NetworkInterfaceLimitExceeded',
      `The maximum number of network interfaces (${quotas.networkInterfaces}) has been reached.`,
    );
  }
  const { addresses: request = {}, clientToken } = options;
  const primaryIp =
    request.primary === undefined
      ? takeAddresses(state, subnet, 1)[0]!
      : checkAddress(subnet, request.primary, 'privateIpAddress');
  if (ownerOf(state, subnet.id, primaryIp)) throw addressInUse(primaryIp);

  const id = context.newId('eni');
  const eni: Draft<NetworkInterface> = {
    id,
    vpcId: subnet.vpcId,
    subnetId: subnet.id,
    availabilityZone: subnet.availabilityZone,
    ...(clientToken !== undefined && { clientToken }),
    description: options.description ?? '',
    kind: options.kind ?? 'interface',
    ...(options.holder !== undefined && { holder: options.holder }),
    mac: context.newMac(),
    primaryIp,
    secondaryIps: [],
    prefixes: [],
    publicIps: {},
    groups: options.groups,
    sourceDestCheck: options.sourceDestCheck ?? true,
    tags: options.tags,
  };
  state.networkInterfaces[id] = eni;
  const { addresses, prefixes } = takeSecondary(context, subnet, request);
  eni.secondaryIps = addresses;
  eni.prefixes = prefixes;
  checkSlots(slotsOf(eni), undefined);
  return eni;
}

/**
 * Attaches an interface; `attaching` becomes `attached` when the attachment's delay is over.
 * @throws {Ec2Error} for a device index that is taken, and the limits of the instance type.
 */
export function attachInterface(
  context: Context,
  eni: Draft<NetworkInterface>,
  instanceId: string,
  type: InstanceType,
  device: { index: number; networkCard?: number | undefined; deleteOnTermination: boolean },
): Draft<Attachment> {
  const others = interfacesOf(context.state, instanceId);
  if (others.some((other) => other.attachment?.deviceIndex === device.index)) {
    throw new Ec2Error(
      'InvalidParameterValue',
      `Instance '${instanceId}' already has an interface attached at device index '${device.index}'.`,
    );
  }
  const networkCardIndex = device.networkCard ?? 0;
  if (networkCardIndex >= type.networkCards) {
    throw new Ec2Error(
      'InvalidParameterValue',
      `${type.name} has no network card ${networkCardIndex}: it has ${type.networkCards}.`,
    );
  }
  const onCard = others.filter((other) => other.attachment?.networkCardIndex === networkCardIndex);
  if (onCard.length >= type.enis) {
    throw new Ec2Error(
      'AttachmentLimitExceeded',
      `Interface count ${onCard.length + 1} exceeds the limit for ${type.name}`,
    );
  }
  checkSlots(slotsOf(eni), type);
  if (eni.prefixes.length > 0) checkTakesPrefixes(type);
  eni.attachment = {
    id: context.newId('eni-attach'),
    instanceId,
    deviceIndex: device.index,
    networkCardIndex,
    status: 'attaching',
    attachTime: context.now.toISOString(),
    deleteOnTermination: device.deleteOnTermination,
  };
  return eni.attachment;
}

/** Takes an Elastic IP address from the interface it is on; it stays allocated. */
export function dissociate({ state }: Pick<Context, 'state'>, address: Draft<ElasticIp>): void {
  const eni = state.networkInterfaces[address.networkInterfaceId ?? ''];
  if (eni && address.privateIp) delete eni.publicIps[address.privateIp];
  delete address.associationId;
  delete address.networkInterfaceId;
  delete address.privateIp;
}

/** Takes the public address of one private address: an Elastic IP stays allocated, a lent one goes back to Amazon. */
export function releasePublicIp(
  { state }: Pick<Context, 'state'>,
  eni: Draft<NetworkInterface>,
  privateIp: string,
): void {
  const { allocationId } = eni.publicIps[privateIp] ?? {};
  const elasticIp = allocationId === undefined ? undefined : state.elasticIps[allocationId];
  if (elasticIp) dissociate({ state }, elasticIp);
  delete eni.publicIps[privateIp];
}

/** Deletes an interface, whatever it is attached to. */
export function deleteInterface({ state }: Pick<Context, 'state'>, eni: Draft<NetworkInterface>): void {
  for (const privateIp of Object.keys(eni.publicIps)) releasePublicIp({ state }, eni, privateIp);
  delete state.networkInterfaces[eni.id];
}
