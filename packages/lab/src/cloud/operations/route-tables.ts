import type {
  Route as Ec2Route,
  RouteTable as Ec2RouteTable,
  RouteTableAssociation,
} from '@aws-sdk/client-ec2';
import { type Ipv4Cidr, overlaps, prefixLength } from '@enid/ip';
import type { Draft } from 'immer';
import { checkCidr } from '../addressing.ts';
import { dependencyViolation, Ec2Error, invalidCombination, missingParameter } from '../errors.ts';
import { describe, type FilterTable } from '../filters.ts';
import type { Context, Operations } from '../operation.ts';
import { find } from '../resources.ts';
import { interfacesOf, type Route, type RouteTable, type RouteTarget, routeState } from '../state.ts';
import { tagList, tagsFor } from '../tags.ts';

const idOf = (target: RouteTarget, kind: RouteTarget['kind']): string | undefined =>
  target.kind === kind && target.kind !== 'local' ? target.id : undefined;

const gatewayOf = ({ target }: Route): string | undefined =>
  target.kind === 'local' ? 'local' : idOf(target, 'internet-gateway');

const instanceOf = ({ state }: Context, { target }: Route): string | undefined =>
  state.networkInterfaces[idOf(target, 'network-interface') ?? '']?.attachment?.instanceId;

const filtersOf = (context: Context): FilterTable<Draft<RouteTable>> => ({
  'route-table-id': (table) => table.id,
  'vpc-id': (table) => table.vpcId,
  'owner-id': () => context.state.accountId,
  'association.main': (table) => [
    ...(table.mainAssociationId === undefined ? [] : [true]),
    ...table.associations.map(() => false),
  ],
  'association.route-table-association-id': (table) => [
    table.mainAssociationId,
    ...table.associations.map(({ associationId }) => associationId),
  ],
  'association.route-table-id': (table) =>
    table.mainAssociationId !== undefined || table.associations.length > 0 ? table.id : undefined,
  'association.subnet-id': (table) => table.associations.map(({ subnetId }) => subnetId),
  'route.destination-cidr-block': (table) => table.routes.map(({ destination }) => destination),
  'route.gateway-id': (table) => table.routes.map(gatewayOf),
  'route.nat-gateway-id': (table) => table.routes.map(({ target }) => idOf(target, 'nat-gateway')),
  'route.instance-id': (table) => table.routes.map((route) => instanceOf(context, route)),
  'route.origin': (table) => table.routes.map(({ origin }) => origin),
  'route.state': (table) => table.routes.map((route) => routeState(context.state, route, table.vpcId)),
});

function describeRoute(context: Context, table: Draft<RouteTable>, route: Route): Ec2Route {
  return {
    DestinationCidrBlock: route.destination,
    GatewayId: gatewayOf(route),
    NatGatewayId: idOf(route.target, 'nat-gateway'),
    NetworkInterfaceId: idOf(route.target, 'network-interface'),
    InstanceId: instanceOf(context, route),
    Origin: route.origin,
    State: routeState(context.state, route, table.vpcId),
  };
}

function describeTable(context: Context, table: Draft<RouteTable>): Ec2RouteTable {
  const association = (id: string, more: RouteTableAssociation): RouteTableAssociation => ({
    RouteTableAssociationId: id,
    RouteTableId: table.id,
    AssociationState: { State: 'associated' },
    ...more,
  });
  return {
    RouteTableId: table.id,
    VpcId: table.vpcId,
    OwnerId: context.state.accountId,
    Associations: [
      ...(table.mainAssociationId === undefined
        ? []
        : [association(table.mainAssociationId, { Main: true })]),
      ...table.associations.map(({ associationId, subnetId }) =>
        association(associationId, { Main: false, SubnetId: subnetId }),
      ),
    ],
    PropagatingVgws: [],
    Routes: table.routes.map((route) => describeRoute(context, table, route)),
    Tags: tagList(table.tags),
  };
}

type TargetInput = {
  GatewayId?: string | undefined;
  NatGatewayId?: string | undefined;
  NetworkInterfaceId?: string | undefined;
  InstanceId?: string | undefined;
};

/** The target of a route in a request, which has to be of the table's VPC. */
function readTarget({ state }: Context, vpcId: string, input: TargetInput): RouteTarget {
  const { GatewayId, NatGatewayId, NetworkInterfaceId, InstanceId } = input;
  const given = [GatewayId, NatGatewayId, NetworkInterfaceId, InstanceId].filter((id) => id !== undefined);
  if (given.length !== 1) {
    throw invalidCombination(
      'Specify one target: GatewayId, NatGatewayId, NetworkInterfaceId or InstanceId; ' +
        'other kinds of targets do not exist in the lab.',
    );
  }
  const sameVpc = (resource: { vpcId?: string }) => {
    if (resource.vpcId === vpcId) return;
    throw new Ec2Error(
      'InvalidParameterValue',
      `route table of ${vpcId} and target ${given[0]} belong to different networks`,
    );
  };
  if (GatewayId !== undefined) {
    sameVpc(find(state, 'internet-gateway', GatewayId));
    return { kind: 'internet-gateway', id: GatewayId };
  }
  if (NatGatewayId !== undefined) {
    sameVpc(find(state, 'natgateway', NatGatewayId));
    return { kind: 'nat-gateway', id: NatGatewayId };
  }
  const eni =
    NetworkInterfaceId === undefined
      ? interfacesOf(state, find(state, 'instance', InstanceId!).id)
      : [find(state, 'network-interface', NetworkInterfaceId)];
  if (eni.length !== 1) {
    throw new Ec2Error(
      'InvalidInstanceID',
      `There are ${eni.length} interfaces attached to instance '${InstanceId}'. Specify NetworkInterfaceId instead.`,
    );
  }
  sameVpc(eni[0]!);
  return { kind: 'network-interface', id: eni[0]!.id };
}

function readDestination(text: string | undefined): Ipv4Cidr {
  if (text === undefined) throw missingParameter('destinationCidrBlock');
  return checkCidr(text, 'destinationCidrBlock');
}

function findRoute(table: Draft<RouteTable>, destination: Ipv4Cidr): Draft<Route> {
  const route = table.routes.find((candidate) => candidate.destination === destination);
  if (route) return route;
  throw new Ec2Error(
    'InvalidRoute.NotFound',
    `no route with destination-cidr-block ${destination} in route table ${table.id}`,
  );
}

/** The table that has an association, by whichever of its subnets or as the main one. */
function findAssociation({ state }: Context, id: string): Draft<RouteTable> {
  const table = Object.values(state.routeTables).find(
    ({ mainAssociationId, associations }) =>
      mainAssociationId === id || associations.some(({ associationId }) => associationId === id),
  );
  if (table) return table;
  throw new Ec2Error('InvalidAssociationID.NotFound', `The association ID '${id}' does not exist`);
}

/** An internet gateway is no way to an address of the VPC itself. */
function checkBesideLocal(table: Draft<RouteTable>, destination: Ipv4Cidr, target: RouteTarget): void {
  const isInside = table.routes.some(
    (route) =>
      route.target.kind === 'local' &&
      overlaps(route.destination, destination) &&
      prefixLength(destination) >= prefixLength(route.destination),
  );
  if (!isInside || target.kind !== 'internet-gateway') return;
  throw new Ec2Error(
    'InvalidParameterValue',
    `The destination CIDR block ${destination} is equal to or more specific than one of this VPC's CIDR blocks. ` +
      'This route can target only an interface, an instance or a NAT gateway.',
  );
}

export const operations: Operations = {
  CreateRouteTable(input, context) {
    const { state } = context;
    const vpc = find(state, 'vpc', input.VpcId);
    const id = context.newId('rtb');
    state.routeTables[id] = {
      id,
      vpcId: vpc.id,
      associations: [],
      routes: vpc.cidrBlocks.map(({ cidr }) => ({
        destination: cidr,
        target: { kind: 'local' },
        origin: 'CreateRouteTable',
      })),
      tags: tagsFor('route-table', input.TagSpecifications, context.quotas),
    };
    return { RouteTable: describeTable(context, state.routeTables[id]) };
  },

  DescribeRouteTables(input, context) {
    const { items, nextToken } = describe(
      context.state,
      'route-table',
      input.RouteTableIds,
      input,
      filtersOf(context),
    );
    return { RouteTables: items.map((table) => describeTable(context, table)), ...nextToken };
  },

  DeleteRouteTable({ RouteTableId }, { state }) {
    const table = find(state, 'route-table', RouteTableId);
    const dependents = [
      table.mainAssociationId,
      ...table.associations.map(({ associationId }) => associationId),
    ];
    const ids = dependents.filter((id) => id !== undefined);
    if (ids.length > 0) throw dependencyViolation('routeTable', RouteTableId, ids);
    delete state.routeTables[RouteTableId];
    return {};
  },

  AssociateRouteTable(input, context) {
    const { state } = context;
    const table = find(state, 'route-table', input.RouteTableId);
    if (input.SubnetId === undefined) throw missingParameter('subnetId');
    const subnet = find(state, 'subnet', input.SubnetId);
    if (subnet.vpcId !== table.vpcId) {
      throw new Ec2Error(
        'InvalidParameterValue',
        `Route table ${table.id} and subnet ${subnet.id} belong to different networks`,
      );
    }
    const other = Object.values(state.routeTables)
      .flatMap(({ associations }) => associations)
      .find(({ subnetId }) => subnetId === subnet.id);
    if (other) {
      throw new Ec2Error(
        'Resource.AlreadyAssociated',
        `the specified association for route table ${table.id} conflicts with ${other.associationId} of the ` +
          'subnet: replace that one with ReplaceRouteTableAssociation',
      );
    }
    const associationId = context.newId('rtbassoc');
    table.associations.push({ associationId, subnetId: subnet.id });
    return { AssociationId: associationId, AssociationState: { State: 'associated' } };
  },

  DisassociateRouteTable({ AssociationId }, context) {
    const table = findAssociation(context, AssociationId);
    if (table.mainAssociationId === AssociationId) {
      throw new Ec2Error('InvalidParameterValue', 'cannot disassociate the main route table association');
    }
    table.associations = table.associations.filter(({ associationId }) => associationId !== AssociationId);
    return {};
  },

  ReplaceRouteTableAssociation(input, context) {
    const from = findAssociation(context, input.AssociationId);
    const to = find(context.state, 'route-table', input.RouteTableId);
    if (from.vpcId !== to.vpcId) {
      throw new Ec2Error('InvalidParameterValue', `${from.id} and ${to.id} belong to different networks`);
    }
    const associationId = context.newId('rtbassoc');
    if (from.mainAssociationId === input.AssociationId) {
      delete from.mainAssociationId;
      to.mainAssociationId = associationId;
    } else {
      const moved = from.associations.find(
        (association) => association.associationId === input.AssociationId,
      )!;
      from.associations = from.associations.filter((association) => association !== moved);
      to.associations.push({ associationId, subnetId: moved.subnetId });
    }
    return { NewAssociationId: associationId, AssociationState: { State: 'associated' } };
  },

  CreateRoute(input, context) {
    const table = find(context.state, 'route-table', input.RouteTableId);
    const destination = readDestination(input.DestinationCidrBlock);
    const target = readTarget(context, table.vpcId, input);
    const same = table.routes.find((route) => route.destination === destination);
    if (same) {
      throw new Ec2Error('RouteAlreadyExists', `The route identified by ${destination} already exists.`);
    }
    const limit = context.quotas.routesPerTable;
    if (table.routes.length >= limit) {
      throw new Ec2Error('RouteLimitExceeded', `The route table has its maximum of ${limit} routes.`);
    }
    checkBesideLocal(table, destination, target);
    table.routes.push({ destination, target, origin: 'CreateRoute' });
    return { Return: true };
  },

  ReplaceRoute(input, context) {
    const table = find(context.state, 'route-table', input.RouteTableId);
    const route = findRoute(table, readDestination(input.DestinationCidrBlock));
    if (route.target.kind === 'local') {
      throw new Ec2Error(
        'InvalidParameterValue',
        `cannot replace local route ${route.destination} in ${table.id}`,
      );
    }
    route.target = readTarget(context, table.vpcId, input);
    return {};
  },

  DeleteRoute(input, { state }) {
    const table = find(state, 'route-table', input.RouteTableId);
    const route = findRoute(table, readDestination(input.DestinationCidrBlock));
    if (route.target.kind === 'local') {
      throw new Ec2Error(
        'InvalidParameterValue',
        `cannot remove local route ${route.destination} in route table ${table.id}`,
      );
    }
    table.routes = table.routes.filter((other) => other !== route);
    return {};
  },
};
