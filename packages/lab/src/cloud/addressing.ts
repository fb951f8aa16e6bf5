/** Which addresses of a subnet, and of Amazon's public pool, are given out next. */
import {
  addressAt,
  cidrOf,
  contains,
  type Ipv4,
  type Ipv4Cidr,
  isIpv4,
  networkOf,
  parseIpv4Cidr,
  prefixLength,
  sizeOf,
  toNumber,
} from '@enid/ip';
import { current, type Draft, isDraft } from 'immer';
import { Ec2Error, invalidValue } from './errors.ts';
import { type CloudState, type NetworkInterface, PUBLIC_POOL, type Subnet } from './state.ts';

/** Delegated prefixes are /28: 16 addresses. */
const PREFIX_LENGTH = 28;
const PREFIX_SIZE = 2 ** (32 - PREFIX_LENGTH);

/** The network, the router, the DNS server and one that AWS keeps; and the broadcast address. */
const isReserved = (cidr: Ipv4Cidr, offset: number): boolean => offset < 4 || offset === sizeOf(cidr) - 1;
const RESERVED_COUNT = 5;

const offsetIn = (cidr: Ipv4Cidr, address: Ipv4): number => toNumber(address) - toNumber(networkOf(cidr));

/** The interfaces of a subnet, to be read only: a draft's own, of which each read has a price, are too many for that. */
function interfacesIn({ networkInterfaces }: Draft<CloudState>, subnetId: string): NetworkInterface[] {
  const plain: CloudState['networkInterfaces'] = isDraft(networkInterfaces)
    ? current(networkInterfaces)
    : networkInterfaces;
  return Object.values(plain).filter((eni) => eni.subnetId === subnetId);
}

const prefixOffsets = (cidr: Ipv4Cidr, prefix: Ipv4Cidr): number[] => {
  const first = offsetIn(cidr, networkOf(prefix));
  return Array.from({ length: PREFIX_SIZE }, (_, index) => first + index);
};

function usedOffsets(state: Draft<CloudState>, subnet: Draft<Subnet>): Set<number> {
  const used = new Set<number>();
  for (const eni of interfacesIn(state, subnet.id)) {
    for (const address of [eni.primaryIp, ...eni.secondaryIps]) used.add(offsetIn(subnet.cidr, address));
    for (const prefix of eni.prefixes)
      for (const offset of prefixOffsets(subnet.cidr, prefix)) used.add(offset);
  }
  return used;
}

/** How many addresses of a subnet can still be given out: what it holds, less AWS's five, less those in use. */
export function availableAddresses(state: Draft<CloudState>, subnet: Draft<Subnet>): number {
  const used = interfacesIn(state, subnet.id).reduce(
    (sum, eni) => sum + 1 + eni.secondaryIps.length + eni.prefixes.length * PREFIX_SIZE,
    0,
  );
  return sizeOf(subnet.cidr) - RESERVED_COUNT - used;
}

/**
 * Takes free addresses of a subnet, the lowest after the one that was taken last: what was just given back is not
 * given out again before the subnet has been gone through.
 * @throws {Ec2Error} InsufficientFreeAddressesInSubnet.
 */
export function takeAddresses(state: Draft<CloudState>, subnet: Draft<Subnet>, count: number): Ipv4[] {
  const size = sizeOf(subnet.cidr);
  const used = usedOffsets(state, subnet);
  const taken: Ipv4[] = [];
  for (let step = 0; step < size && taken.length < count; step++) {
    const offset = (subnet.nextOffset + step) % size;
    if (isReserved(subnet.cidr, offset) || used.has(offset)) continue;
    taken.push(addressAt(subnet.cidr, offset));
  }
  if (taken.length < count) {
    throw new Ec2Error(
      'InsufficientFreeAddressesInSubnet',
      'The specified subnet does not have enough free addresses to satisfy the request.',
    );
  }
  const last = taken.at(-1);
  if (last) subnet.nextOffset = offsetIn(subnet.cidr, last) + 1;
  return taken;
}

/**
 * Takes free /28 prefixes of a subnet. Each is aligned to its size, so single addresses spread over the subnet can
 * leave none although many addresses are free.
 * @throws {Ec2Error} InsufficientCidrBlocks.
 */
export function takePrefixes(state: Draft<CloudState>, subnet: Draft<Subnet>, count: number): Ipv4Cidr[] {
  const blocks = Math.floor(sizeOf(subnet.cidr) / PREFIX_SIZE);
  const used = usedOffsets(state, subnet);
  const taken: Ipv4Cidr[] = [];
  for (let step = 0; step < blocks && taken.length < count; step++) {
    const block = (subnet.nextPrefixOffset / PREFIX_SIZE + step) % blocks;
    const prefix = cidrOf(addressAt(subnet.cidr, block * PREFIX_SIZE), PREFIX_LENGTH);
    const isFree = prefixOffsets(subnet.cidr, prefix).every(
      (offset) => !used.has(offset) && !isReserved(subnet.cidr, offset),
    );
    if (isFree) taken.push(prefix);
  }
  if (taken.length < count) {
    throw new Ec2Error(
      'InsufficientCidrBlocks',
      'The specified subnet does not have enough free cidr blocks to satisfy the request.',
    );
  }
  const last = taken.at(-1);
  if (last) subnet.nextPrefixOffset = offsetIn(subnet.cidr, networkOf(last)) + PREFIX_SIZE;
  return taken;
}

/** The interface of a subnet that has an address, as its own or within a prefix. */
export function ownerOf(
  state: Draft<CloudState>,
  subnetId: string,
  address: Ipv4,
): Draft<NetworkInterface> | undefined {
  const owner = interfacesIn(state, subnetId).find(
    (eni) =>
      eni.primaryIp === address ||
      eni.secondaryIps.includes(address) ||
      eni.prefixes.some((prefix) => contains(prefix, address)),
  );
  return owner && state.networkInterfaces[owner.id];
}

/**
 * Checks an address that a request asks for by name; whether it is free is the caller's question to {@link ownerOf}.
 * @throws {Ec2Error} InvalidParameterValue when it is none, outside the subnet, or reserved.
 */
export function checkAddress(subnet: Draft<Subnet>, text: string, parameter: string): Ipv4 {
  if (!isIpv4(text)) throw invalidValue(text, parameter, 'This is not an IPv4 address.');
  if (!contains(subnet.cidr, text)) {
    throw new Ec2Error(
      'InvalidParameterValue',
      `Address ${text} does not fall within the subnet's address range`,
    );
  }
  if (isReserved(subnet.cidr, offsetIn(subnet.cidr, text))) {
    throw new Ec2Error('InvalidParameterValue', `Address ${text} is in subnet's reserved address range`);
  }
  return text;
}

/** The error for an address that another interface has. */
export function addressInUse(address: string): Ec2Error {
  return new Ec2Error('InvalidIPAddress.InUse', `Address ${address} is in use.`);
}

/**
 * Checks a prefix that a request asks for by name.
 * @throws {Ec2Error} InvalidParameterValue when it is no aligned /28 of the subnet, InvalidIPAddress.InUse when an
 * address of it is taken or reserved.
 */
export function checkPrefix(state: Draft<CloudState>, subnet: Draft<Subnet>, text: string): Ipv4Cidr {
  const prefix = checkCidr(text, 'Ipv4Prefix');
  if (
    prefix !== text ||
    prefixLength(prefix) !== PREFIX_LENGTH ||
    !contains(subnet.cidr, networkOf(prefix))
  ) {
    throw invalidValue(text, 'Ipv4Prefix', `It is not a /28 block of the subnet ${subnet.cidr}.`);
  }
  const used = usedOffsets(state, subnet);
  for (const offset of prefixOffsets(subnet.cidr, prefix)) {
    if (used.has(offset) || isReserved(subnet.cidr, offset))
      throw addressInUse(addressAt(subnet.cidr, offset));
  }
  return prefix;
}

/**
 * Reads a CIDR block; host bits are cleared, as AWS does.
 * @throws {Ec2Error} InvalidParameterValue.
 */
export function checkCidr(text: string, parameter: string): Ipv4Cidr {
  try {
    return parseIpv4Cidr(text);
  } catch {
    throw invalidValue(text, parameter, 'This is not a valid CIDR block.');
  }
}

/**
 * Takes an address of Amazon's public pool.
 * @throws {Ec2Error} InsufficientAddressCapacity.
 */
export function takePublicAddress(state: Draft<CloudState>): Ipv4 {
  const used = new Set<string>(Object.values(state.elasticIps).map((address) => address.publicIp));
  for (const eni of Object.values(state.networkInterfaces)) {
    for (const { publicIp } of Object.values(eni.publicIps)) used.add(publicIp);
  }
  const size = sizeOf(PUBLIC_POOL);
  for (let step = 0; step < size; step++) {
    const offset = (state.nextPublicOffset + step) % size;
    const address = addressAt(PUBLIC_POOL, offset);
    if (offset === 0 || offset === size - 1 || used.has(address)) continue;
    state.nextPublicOffset = offset + 1;
    return address;
  }
  throw new Ec2Error('InsufficientAddressCapacity', `All addresses of ${PUBLIC_POOL} are taken.`);
}
