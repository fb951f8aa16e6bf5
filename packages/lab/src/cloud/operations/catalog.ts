/** What Amazon offers, whoever asks: regions, zones and instance types. */
import type { _InstanceType, InstanceTypeInfo } from '@aws-sdk/client-ec2';
import { INSTANCE_LIMITS } from '@enid/ipam';
import { Ec2Error, invalidValue } from '../errors.ts';
import { type FilterTable, matcher, paginate } from '../filters.ts';
import { type InstanceType, instanceType } from '../instance-types.ts';
import { zoneId } from '../names.ts';
import type { Operations } from '../operation.ts';

type Zone = { name: string; region: string };

const zoneFilters: FilterTable<Zone> = {
  'zone-name': ({ name }) => name,
  'zone-id': ({ name }) => zoneId(name),
  'region-name': ({ region }) => region,
  'group-name': ({ region }) => region,
  'zone-type': () => 'availability-zone',
  'opt-in-status': () => 'opt-in-not-required',
  state: () => 'available',
};

const typeFilters: FilterTable<InstanceType> = {
  'instance-type': ({ name }) => name,
  hypervisor: ({ hypervisor }) => hypervisor,
  'network-info.maximum-network-interfaces': ({ enis, networkCards }) => enis * networkCards,
  'network-info.maximum-network-cards': ({ networkCards }) => networkCards,
  'network-info.ipv4-addresses-per-interface': ({ ipv4PerEni }) => ipv4PerEni,
};

function describeType(type: InstanceType): InstanceTypeInfo {
  return {
    InstanceType: type.name as _InstanceType,
    CurrentGeneration: type.hypervisor === 'nitro',
    ...(!type.name.includes('metal') && { Hypervisor: type.hypervisor }),
    BareMetal: type.name.includes('metal'),
    NetworkInfo: {
      MaximumNetworkInterfaces: type.enis * type.networkCards,
      MaximumNetworkCards: type.networkCards,
      DefaultNetworkCardIndex: 0,
      NetworkCards: Array.from({ length: type.networkCards }, (_, NetworkCardIndex) => ({
        NetworkCardIndex,
        MaximumNetworkInterfaces: type.enis,
      })),
      Ipv4AddressesPerInterface: type.ipv4PerEni,
      Ipv6AddressesPerInterface: type.ipv4PerEni,
      Ipv6Supported: true,
      EnaSupport: type.hypervisor === 'nitro' ? 'required' : 'supported',
    },
  };
}

export const operations: Operations = {
  DescribeRegions(input, { state }) {
    const names = input.RegionNames ?? [state.region];
    const unknown = names.find((name) => name !== state.region);
    if (unknown !== undefined) throw invalidValue(unknown, 'region', `The lab is ${state.region}.`);
    return {
      Regions: [
        {
          RegionName: state.region,
          Endpoint: `ec2.${state.region}.amazonaws.com`,
          OptInStatus: 'opt-in-not-required',
        },
      ],
    };
  },

  DescribeAvailabilityZones(input, { state }) {
    const { ZoneNames: names, ZoneIds: ids } = input;
    const unknown =
      names?.find((name) => !state.zones.includes(name)) ??
      ids?.find((id) => !state.zones.some((zone) => zoneId(zone) === id));
    if (unknown !== undefined) {
      throw invalidValue(unknown, 'availabilityZone', `There are ${state.zones.join(', ')}.`);
    }
    const zones = state.zones
      .filter((name) => !names?.length || names.includes(name))
      .filter((name) => !ids?.length || ids.includes(zoneId(name)))
      .map((name) => ({ name, region: state.region }))
      .filter(matcher(input.Filters, zoneFilters));
    return {
      AvailabilityZones: zones.map(({ name, region }) => ({
        ZoneName: name,
        ZoneId: zoneId(name),
        ZoneType: 'availability-zone',
        RegionName: region,
        GroupName: region,
        NetworkBorderGroup: region,
        OptInStatus: 'opt-in-not-required' as const,
        State: 'available' as const,
        Messages: [],
      })),
    };
  },

  DescribeInstanceTypes(input) {
    const names: readonly string[] = input.InstanceTypes ?? [];
    const unknown = names.filter((name) => !INSTANCE_LIMITS.has(name));
    if (unknown.length > 0) {
      throw new Ec2Error(
        'InvalidInstanceType',
        `The following supplied instance types do not exist: [${unknown.join(', ')}]`,
      );
    }
    const types = (names.length > 0 ? names : [...INSTANCE_LIMITS.keys()])
      .map(instanceType)
      .filter(matcher(input.Filters, typeFilters));
    const { items, nextToken } = paginate(
      types.map((type) => [type.name, type] as const),
      input,
    );
    return { InstanceTypes: items.map(describeType), ...nextToken };
  },
};
