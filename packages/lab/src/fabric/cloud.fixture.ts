/** A cloud state for tests, written by hand as the EC2 API would have left it. */
import { addressAt, type Ipv4, parseIpv4, parseIpv4Cidr } from '@enid/ip';
import {
  type CloudState,
  emptyState,
  type NetworkInterface,
  type RouteTarget,
  type SecurityGroupRule,
} from '../cloud/state.ts';

const id = (kind: string, number: number) => `${kind}-0${number.toString(16).padStart(16, '0')}`;
const at = '2026-01-01T00:00:00.000Z';

export const VPC = id('vpc', 1);
export const OPEN_GROUP = id('sg', 1);
export const CLOSED_GROUP = id('sg', 2);
export const NAT = id('nat', 1);
export const NAT_PUBLIC_IP = parseIpv4('203.0.113.200');
export const PUBLIC_TABLE = id('rtb', 1);
export const PRIVATE_TABLE = id('rtb', 2);
const IGW = id('igw', 1);
const NAT_ENI = id('eni', 0xff);

/** Subnets of the test VPC, in two zones and in both of its blocks. `lonely` has no route but the local one. */
export const SUBNETS = {
  publicA: { id: id('subnet', 1), cidr: parseIpv4Cidr('10.0.1.0/24'), zone: 'a', table: PUBLIC_TABLE },
  publicB: { id: id('subnet', 2), cidr: parseIpv4Cidr('10.0.2.0/24'), zone: 'b', table: PUBLIC_TABLE },
  privateA: { id: id('subnet', 3), cidr: parseIpv4Cidr('10.0.11.0/24'), zone: 'a', table: PRIVATE_TABLE },
  privateB: { id: id('subnet', 4), cidr: parseIpv4Cidr('100.64.0.0/20'), zone: 'b', table: PRIVATE_TABLE },
  lonely: { id: id('subnet', 5), cidr: parseIpv4Cidr('10.0.50.0/24'), zone: 'b', table: undefined },
} as const;

export type SubnetName = keyof typeof SUBNETS;

export const instanceId = (number: number) => id('i', number);
/** The `device`-th interface of an instance. */
export const eniId = (number: number, device = 0) => id('eni', number * 0x100 + device);
export const macOf = (number: number, device = 0) =>
  `02:00:00:00:${number.toString(16).padStart(2, '0')}:${device.toString(16).padStart(2, '0')}`;

export const anywhere = { cidr: parseIpv4Cidr('0.0.0.0/0') };
let ruleNumber = 0;

/** A security group rule; everything when no protocol is given. */
export function rule(
  peer: SecurityGroupRule['peer'],
  protocol: SecurityGroupRule['protocol'] = '-1',
  fromPort?: number,
  toPort = fromPort,
): SecurityGroupRule {
  return {
    id: id('sgr', ++ruleNumber),
    protocol,
    ...(fromPort === undefined ? {} : { fromPort, toPort: toPort! }),
    peer,
    tags: {},
  };
}

export function securityGroup(
  groupId: string,
  ingress: readonly SecurityGroupRule[],
  egress: readonly SecurityGroupRule[] = [rule(anywhere)],
): CloudState['securityGroups'] {
  return {
    [groupId]: { id: groupId, vpcId: VPC, name: groupId, description: '', ingress, egress, tags: {} },
  };
}

/** A VPC of two blocks with an internet gateway and a NAT gateway, and nothing running in it. */
export function testCloud(): CloudState {
  const empty = emptyState({ region: 'eu-west-1', zones: ['eu-west-1a', 'eu-west-1b'], accountId: '1' });
  const table = (tableId: string, target: RouteTarget | undefined, main = false) => ({
    [tableId]: {
      id: tableId,
      vpcId: VPC,
      ...(main ? { mainAssociationId: id('rtbassoc', 99) } : {}),
      associations: Object.values(SUBNETS)
        .filter((subnet) => subnet.table === tableId)
        .map((subnet, index) => ({ associationId: id('rtbassoc', index), subnetId: subnet.id })),
      routes: [
        {
          destination: parseIpv4Cidr('10.0.0.0/16'),
          target: { kind: 'local' as const },
          origin: 'CreateRouteTable' as const,
        },
        ...(target ? [{ destination: anywhere.cidr, target, origin: 'CreateRoute' as const }] : []),
      ],
      tags: {},
    },
  });
  const natIp = addressAt(SUBNETS.publicA.cidr, 250);
  return {
    ...empty,
    vpcs: {
      [VPC]: {
        id: VPC,
        cidrBlocks: ['10.0.0.0/16', '100.64.0.0/16'].map((cidr, index) => ({
          associationId: id('vpc-cidr-assoc', index),
          cidr: parseIpv4Cidr(cidr),
        })),
        isDefault: false,
        enableDnsSupport: true,
        enableDnsHostnames: false,
        tags: {},
      },
    },
    subnets: Object.fromEntries(
      Object.values(SUBNETS).map((subnet) => [
        subnet.id,
        {
          id: subnet.id,
          vpcId: VPC,
          cidr: subnet.cidr,
          availabilityZone: `eu-west-1${subnet.zone}`,
          mapPublicIpOnLaunch: false,
          nextOffset: 4,
          nextPrefixOffset: 0,
          tags: {},
        },
      ]),
    ),
    routeTables: {
      ...table(PUBLIC_TABLE, { kind: 'internet-gateway', id: IGW }),
      ...table(PRIVATE_TABLE, { kind: 'nat-gateway', id: NAT }),
      ...table(id('rtb', 3), undefined, true),
    },
    internetGateways: { [IGW]: { id: IGW, vpcId: VPC, tags: {} } },
    natGateways: {
      [NAT]: {
        id: NAT,
        vpcId: VPC,
        subnetId: SUBNETS.publicA.id,
        networkInterfaceId: NAT_ENI,
        privateIp: natIp,
        connectivity: 'public',
        publicIp: NAT_PUBLIC_IP,
        state: 'available',
        createTime: at,
        tags: {},
      },
    },
    securityGroups: {
      ...securityGroup(OPEN_GROUP, [rule(anywhere)]),
      ...securityGroup(CLOSED_GROUP, []),
    },
    networkInterfaces: {
      [NAT_ENI]: {
        ...bareInterface(NAT_ENI, 'publicA', natIp),
        kind: 'nat_gateway',
        mac: '02:00:00:00:ff:ff',
        groups: [],
        sourceDestCheck: false,
        publicIps: { [natIp]: { publicIp: NAT_PUBLIC_IP } },
      },
    },
  };
}

function bareInterface(interfaceId: string, subnet: SubnetName, primaryIp: Ipv4): NetworkInterface {
  return {
    id: interfaceId,
    vpcId: VPC,
    subnetId: SUBNETS[subnet].id,
    availabilityZone: `eu-west-1${SUBNETS[subnet].zone}`,
    description: '',
    kind: 'interface',
    mac: '',
    primaryIp,
    secondaryIps: [],
    prefixes: [],
    publicIps: {},
    groups: [OPEN_GROUP],
    sourceDestCheck: true,
    tags: {},
  };
}

/** The state with an instance more: `number` is the host part of its address. */
export function withInstance(
  state: CloudState,
  number: number,
  subnet: SubnetName,
  more: Partial<NetworkInterface> = {},
): CloudState {
  const instance = {
    id: instanceId(number),
    reservationId: id('r', number),
    launchIndex: 0,
    type: 't3.medium',
    imageId: id('ami', 1),
    vpcId: VPC,
    subnetId: SUBNETS[subnet].id,
    availabilityZone: `eu-west-1${SUBNETS[subnet].zone}`,
    state: 'running' as const,
    launchTime: at,
    privateIp: addressAt(SUBNETS[subnet].cidr, number),
    iamRole: 'node',
    metadataOptions: {
      httpTokens: 'required' as const,
      httpPutResponseHopLimit: 1,
      httpEndpoint: 'enabled' as const,
      instanceMetadataTags: 'disabled' as const,
    },
    tags: {},
  };
  return withInterface(
    { ...state, instances: { ...state.instances, [instance.id]: instance } },
    number,
    0,
    subnet,
    more,
  );
}

/** The state with an interface attached to an instance: `number` + 100 `device` is the host part of its address. */
export function withInterface(
  state: CloudState,
  number: number,
  device: number,
  subnet: SubnetName,
  more: Partial<NetworkInterface> = {},
): CloudState {
  const interfaceId = eniId(number, device);
  const eni: NetworkInterface = {
    ...bareInterface(interfaceId, subnet, addressAt(SUBNETS[subnet].cidr, number + 100 * device)),
    mac: macOf(number, device),
    attachment: {
      id: id('eni-attach', number * 0x100 + device),
      instanceId: instanceId(number),
      deviceIndex: device,
      networkCardIndex: 0,
      status: 'attached',
      attachTime: at,
      deleteOnTermination: true,
    },
    ...more,
  };
  return { ...state, networkInterfaces: { ...state.networkInterfaces, [interfaceId]: eni } };
}

/** The state with an interface changed; `undefined` takes it away. */
export function changeInterface(
  state: CloudState,
  interfaceId: string,
  change: Partial<NetworkInterface> | undefined,
): CloudState {
  const { [interfaceId]: eni, ...others } = state.networkInterfaces;
  return {
    ...state,
    networkInterfaces: change ? { ...others, [interfaceId]: { ...eni!, ...change } } : others,
  };
}
