import type { Ipv4, Ipv4Cidr } from '@enid/ip';
import type { Draft } from 'immer';
import { addressInUse, checkAddress, ownerOf } from '../addressing.ts';
import { Ec2Error, missingParameter } from '../errors.ts';
import { instanceType } from '../instance-types.ts';
import { checkSlots, checkTakesPrefixes, releasePublicIp, slotsOf, takeSecondary } from '../interfaces.ts';
import type { Context, Operations } from '../operation.ts';
import { find } from '../resources.ts';
import type { NetworkInterface, Subnet } from '../state.ts';

/** The type of the instance that an interface is attached to: its limits bind the interface. */
function typeOf({ state }: Context, eni: Draft<NetworkInterface>) {
  const instance = state.instances[eni.attachment?.instanceId ?? ''];
  return instance && instanceType(instance.type);
}

/** Takes addresses away from the interfaces that have them as secondary addresses. */
function reassign(context: Context, subnet: Draft<Subnet>, texts: readonly string[]): void {
  for (const text of texts) {
    const address = checkAddress(subnet, text, 'privateIpAddress');
    const owner = ownerOf(context.state, subnet.id, address);
    if (!owner) continue;
    if (!owner.secondaryIps.includes(address)) throw addressInUse(address);
    unassign(context, owner, [address], []);
  }
}

function unassign(
  context: Context,
  eni: Draft<NetworkInterface>,
  addresses: readonly string[],
  prefixes: readonly string[],
): void {
  for (const address of addresses) {
    if (address === eni.primaryIp) {
      throw new Ec2Error(
        'InvalidParameterValue',
        `Some of [${address}] are primary addresses: the primary address of ${eni.id} cannot be unassigned.`,
      );
    }
    if (!eni.secondaryIps.includes(address as Ipv4)) {
      throw new Ec2Error(
        'InvalidParameterValue',
        `Some of [${address}] are not assigned to interface ${eni.id}`,
      );
    }
    releasePublicIp(context, eni, address);
  }
  for (const prefix of prefixes) {
    if (!eni.prefixes.includes(prefix as Ipv4Cidr)) {
      throw new Ec2Error(
        'InvalidParameterValue',
        `Some of [${prefix}] are not assigned to interface ${eni.id}`,
      );
    }
  }
  eni.secondaryIps = eni.secondaryIps.filter((address) => !addresses.includes(address));
  eni.prefixes = eni.prefixes.filter((prefix) => !prefixes.includes(prefix));
}

export const operations: Operations = {
  AssignPrivateIpAddresses(input, context) {
    const { state } = context;
    const eni = find(state, 'network-interface', input.NetworkInterfaceId);
    const subnet = find(state, 'subnet', eni.subnetId);
    const owned = (address: string) => eni.secondaryIps.includes(address as Ipv4);
    const named = (input.PrivateIpAddresses ?? []).filter(
      (address) => !input.AllowReassignment || !owned(address),
    );
    const wanted = [
      named.length,
      input.SecondaryPrivateIpAddressCount ?? 0,
      input.Ipv4Prefixes?.length ?? 0,
      input.Ipv4PrefixCount ?? 0,
    ].reduce((sum, count) => sum + count);
    if (wanted <= 0 && !input.PrivateIpAddresses?.length)
      throw missingParameter('secondaryPrivateIpAddressCount or privateIpAddress');
    const type = typeOf(context, eni);
    if (type && (input.Ipv4Prefixes?.length || input.Ipv4PrefixCount)) checkTakesPrefixes(type);
    checkSlots(slotsOf(eni) + wanted, type);
    if (input.AllowReassignment) reassign(context, subnet, named);
    const { addresses, prefixes } = takeSecondary(context, subnet, {
      secondary: named,
      secondaryCount: input.SecondaryPrivateIpAddressCount,
      prefixes: input.Ipv4Prefixes,
      prefixCount: input.Ipv4PrefixCount,
    });
    eni.secondaryIps.push(...addresses);
    eni.prefixes.push(...prefixes);
    return {
      NetworkInterfaceId: eni.id,
      AssignedPrivateIpAddresses: addresses.map((PrivateIpAddress) => ({ PrivateIpAddress })),
      AssignedIpv4Prefixes: prefixes.map((Ipv4Prefix) => ({ Ipv4Prefix })),
    };
  },

  UnassignPrivateIpAddresses(input, context) {
    const eni = find(context.state, 'network-interface', input.NetworkInterfaceId);
    const [addresses, prefixes] = [input.PrivateIpAddresses ?? [], input.Ipv4Prefixes ?? []];
    if (addresses.length + prefixes.length === 0) throw missingParameter('privateIpAddress or Ipv4Prefix');
    unassign(context, eni, addresses, prefixes);
    return {};
  },
};
