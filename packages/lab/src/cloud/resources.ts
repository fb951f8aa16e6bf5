import type { Draft } from 'immer';
import { Ec2Error } from './errors.ts';
import type { CloudState } from './state.ts';

/**
 * The kinds of resources, by their name in tag specifications: where they are kept, what their ids begin with, how
 * AWS calls them and which errors it has for them.
 */
const KINDS = {
  vpc: {
    collection: 'vpcs',
    prefix: 'vpc-',
    noun: 'vpc ID',
    notFound: 'InvalidVpcID.NotFound',
    malformed: 'InvalidVpcID.Malformed',
  },
  subnet: {
    collection: 'subnets',
    prefix: 'subnet-',
    noun: 'subnet ID',
    notFound: 'InvalidSubnetID.NotFound',
    malformed: 'InvalidSubnetID.Malformed',
  },
  'route-table': {
    collection: 'routeTables',
    prefix: 'rtb-',
    noun: 'routeTable ID',
    notFound: 'InvalidRouteTableID.NotFound',
    malformed: 'InvalidRouteTableId.Malformed',
  },
  'internet-gateway': {
    collection: 'internetGateways',
    prefix: 'igw-',
    noun: 'internetGateway ID',
    notFound: 'InvalidInternetGatewayID.NotFound',
    malformed: 'InvalidInternetGatewayId.Malformed',
  },
  natgateway: {
    collection: 'natGateways',
    prefix: 'nat-',
    noun: 'NAT gateway',
    notFound: 'NatGatewayNotFound',
    malformed: 'NatGatewayMalformed',
  },
  'elastic-ip': {
    collection: 'elasticIps',
    prefix: 'eipalloc-',
    noun: 'allocation ID',
    notFound: 'InvalidAllocationID.NotFound',
    malformed: 'InvalidParameterValue',
  },
  'security-group': {
    collection: 'securityGroups',
    prefix: 'sg-',
    noun: 'security group',
    notFound: 'InvalidGroup.NotFound',
    malformed: 'InvalidGroupId.Malformed',
  },
  instance: {
    collection: 'instances',
    prefix: 'i-',
    noun: 'instance ID',
    notFound: 'InvalidInstanceID.NotFound',
    malformed: 'InvalidInstanceID.Malformed',
  },
  'network-interface': {
    collection: 'networkInterfaces',
    prefix: 'eni-',
    noun: 'networkInterface ID',
    notFound: 'InvalidNetworkInterfaceID.NotFound',
    malformed: 'InvalidNetworkInterfaceId.Malformed',
  },
} as const;

export type Kind = keyof typeof KINDS;
type CollectionOf<K extends Kind> = (typeof KINDS)[K]['collection'];

/** A resource of a kind, as a transaction sees it. */
export type Resource<K extends Kind> = Draft<CloudState>[CollectionOf<K>][string];

/** The resources of a kind, by id. */
export function allOf<K extends Kind>(state: Draft<CloudState>, kind: K): Record<string, Resource<K>> {
  return state[KINDS[kind].collection] as Record<string, Resource<K>>;
}

/**
 * The resource of an id.
 * @throws {Ec2Error} the kind's Malformed or NotFound.
 */
export function find<K extends Kind>(state: Draft<CloudState>, kind: K, id: string): Resource<K> {
  const { prefix, noun, notFound, malformed } = KINDS[kind];
  if (!id.startsWith(prefix)) {
    throw new Ec2Error(malformed, `Invalid id: "${id}" (expecting "${prefix}...")`);
  }
  const resource = allOf(state, kind)[id];
  if (!resource) throw new Ec2Error(notFound, `The ${noun} '${id}' does not exist`);
  return resource;
}

/** The kind of resource that an id names, or undefined. */
export function kindOf(id: string): Kind | undefined {
  return (Object.keys(KINDS) as Kind[]).find((kind) => id.startsWith(KINDS[kind].prefix));
}

export const kinds = Object.keys(KINDS) as readonly Kind[];
