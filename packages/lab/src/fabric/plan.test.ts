import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIpv4, parseIpv4Cidr } from '@enid/ip';
import type { CloudState } from '../cloud/state.ts';
import {
  changeInterface,
  eniId,
  instanceId,
  NAT,
  PRIVATE_TABLE,
  PUBLIC_TABLE,
  SUBNETS,
  testCloud,
  VPC,
  withInstance,
  withInterface,
} from './cloud.fixture.ts';
import type { FabricPlan, LinkRoute, NamespacePlan } from './model.ts';
import { portName } from './names.ts';
import { plan } from './plan.ts';

const planned = (state: CloudState): FabricPlan => plan(state, 'lab');
const vpcOf = (state: CloudState): NamespacePlan => planned(state).namespaces.get(`lab-${VPC}`)!;

/** The routes of one table, as `ip route` would list them. */
function routesOf(namespace: NamespacePlan, table: number): string[] {
  const text = (route: LinkRoute) => {
    if ('blackhole' in route) return `blackhole ${route.destination}`;
    return `${route.destination}${route.gateway ? ` via ${route.gateway}` : ''} dev ${route.link}`;
  };
  return namespace.routes.filter((route) => route.table === table).map(text);
}

/** The elements of a named set of the VPC's packet table. */
const elementsOf = (namespace: NamespacePlan, name: string) =>
  namespace.tables[0]!.sets.find((set) => set.name === name)!.elements;

test('an empty account has the internet and nothing else', () => {
  const { namespaces, cables } = planned({
    ...testCloud(),
    vpcs: {},
    internetGateways: {},
    natGateways: {},
    networkInterfaces: {},
  });
  assert.deepEqual([...namespaces.keys()], ['lab-internet']);
  assert.deepEqual(cables, []);
});

test('a namespace for each VPC, NAT gateway and running instance', () => {
  let state = withInstance(withInstance(testCloud(), 5, 'publicA'), 6, 'privateB');
  const gone = state.instances[instanceId(6)]!;
  state = { ...state, instances: { ...state.instances, [gone.id]: { ...gone, state: 'shutting-down' } } };
  const { namespaces, cables } = planned(state);
  assert.deepEqual([...namespaces.keys()].toSorted(), [
    `lab-${instanceId(5)}`,
    'lab-internet',
    `lab-${NAT}`,
    `lab-${VPC}`,
  ]);
  assert.deepEqual(
    cables.map(({ port, plug }) => `${port.name} ${plug.namespace}/${plug.name}`),
    [
      `igw lab-internet/${VPC.replace('vpc-000000', 'vpc-')}`,
      `${portName(Object.keys(testCloud().networkInterfaces)[0]!)} lab-${NAT}/eth0`,
      `${portName(eniId(5))} lab-${instanceId(5)}/eth0`,
    ],
  );
});

test('the VPC routes each address to its interface, and nothing to addresses of nobody', () => {
  const state = changeInterface(withInstance(testCloud(), 5, 'publicA'), eniId(5), {
    secondaryIps: [parseIpv4('10.0.1.9')],
    prefixes: [parseIpv4Cidr('10.0.1.32/28')],
  });
  const port = portName(eniId(5));
  assert.deepEqual(
    routesOf(vpcOf(state), 100).filter((route) => !route.includes('10.0.1.250')),
    [
      `10.0.1.5/32 dev ${port}`,
      `10.0.1.9/32 via 10.0.1.5 dev ${port}`,
      `10.0.1.32/28 via 10.0.1.5 dev ${port}`,
      'blackhole 10.0.0.0/16',
      'blackhole 100.64.0.0/16',
    ],
  );
});

test('an interface that is being attached or detached has no port and no route', () => {
  const start = withInterface(withInstance(testCloud(), 5, 'publicA'), 5, 1, 'publicA');
  const { attachment } = start.networkInterfaces[eniId(5, 1)]!;
  for (const status of ['attaching', 'detaching'] as const) {
    const state = changeInterface(start, eniId(5, 1), { attachment: { ...attachment!, status } });
    const port = portName(eniId(5, 1));
    assert.ok(!planned(state).cables.some((cable) => cable.port.name === port));
    assert.ok(!JSON.stringify(vpcOf(state)).includes(port));
  }
});

test('only the primary interface comes up with its machine', () => {
  const state = withInterface(withInstance(testCloud(), 5, 'publicA'), 5, 1, 'publicA');
  const { namespaces, cables } = planned(state);
  const plugs = cables.filter(({ plug }) => plug.namespace.includes('-i-')).map(({ plug }) => plug);
  assert.deepEqual(
    plugs.map(({ name, up, naming }) => ({ name, up, naming })),
    [
      { name: 'eth0', up: true, naming: 'exact' },
      { name: 'eth1', up: false, naming: 'free' },
    ],
  );
  const instance = namespaces.get(`lab-${instanceId(5)}`)!;
  assert.equal(instance.ownership, 'boot');
  assert.deepEqual(instance.addresses, [{ link: 'eth0', address: '10.0.1.5', prefixLength: 24 }]);
  assert.deepEqual(routesOf(instance, 254), ['0.0.0.0/0 via 10.0.1.1 dev eth0']);
});

test('a subnet is routed by its own table or the main one, whose marks are its routing tables', () => {
  let state = testCloud();
  for (const [number, subnet] of [
    [5, 'publicA'],
    [6, 'privateB'],
    [7, 'lonely'],
  ] as const) {
    state = withInstance(state, number, subnet);
  }
  const vpc = vpcOf(state);
  const marks = new Map(
    elementsOf(vpc, 'route-tables').map((element) => element.split(' : ') as [string, string]),
  );
  const routesFrom = (number: number) => {
    const mark = Number(marks.get(`"${portName(eniId(number))}"`));
    const tables = vpc.rules.filter(({ fwmark }) => fwmark === mark);
    return tables.flatMap(({ table }) => routesOf(vpc, table));
  };
  assert.deepEqual(routesFrom(5), ['0.0.0.0/0 via 169.254.0.2 dev igw']);
  assert.deepEqual(routesFrom(6), [`0.0.0.0/0 via 10.0.1.250 dev eni-000000000ff`]);
  assert.deepEqual(routesFrom(7), []);
});

test('a route whose target is gone is a blackhole', () => {
  const start = withInstance(testCloud(), 5, 'publicA');
  const blackholes = (state: CloudState) =>
    vpcOf(state).routes.filter((route) => 'blackhole' in route && route.table > 254).length;
  assert.equal(blackholes(start), 0);
  assert.equal(blackholes({ ...start, internetGateways: {} }), 1);
  assert.equal(blackholes({ ...start, natGateways: {} }), 1);
});

test('a route inside the VPC goes before the addresses, one outside after them', () => {
  const start = withInstance(testCloud(), 5, 'publicA');
  const table = start.routeTables[PRIVATE_TABLE]!;
  const target = { kind: 'network-interface', id: eniId(5) } as const;
  const routes = [
    ...table.routes,
    { destination: SUBNETS.publicB.cidr, target, origin: 'CreateRoute' as const },
  ];
  const vpc = vpcOf({
    ...start,
    routeTables: { ...start.routeTables, [PRIVATE_TABLE]: { ...table, routes } },
  });
  const inside = vpc.rules.find(({ priority }) => priority === 99)!;
  assert.deepEqual(routesOf(vpc, inside.table), [`10.0.2.0/24 via 10.0.1.5 dev ${portName(eniId(5))}`]);
  const outside = vpc.rules.find(({ priority, fwmark }) => priority === 101 && fwmark === inside.fwmark)!;
  assert.deepEqual(routesOf(vpc, outside.table), ['0.0.0.0/0 via 10.0.1.250 dev eni-000000000ff']);
  // What it leads to the interface is checked there.
  const forward = vpc.tables[0]!.chains.find(({ name }) => name === 'forward')!;
  assert.match(forward.rules[0]!, /ip daddr != \{ 10\.0\.1\.5 \} counter name destination-check drop/);
});

test('the source check can be off, and is for a NAT gateway', () => {
  const start = withInstance(testCloud(), 5, 'publicA');
  assert.deepEqual(elementsOf(vpcOf(start), 'unchecked'), ['"eni-000000000ff"']);
  const state = changeInterface(start, eniId(5), { sourceDestCheck: false });
  assert.ok(elementsOf(vpcOf(state), 'unchecked').includes(`"${portName(eniId(5))}"`));
});

test('public addresses are translated while an internet gateway is attached, and routed from the internet', () => {
  const state = withInstance(testCloud(), 5, 'publicA', {
    publicIps: { '10.0.1.5': { publicIp: parseIpv4('203.0.113.5') } },
  });
  assert.ok(elementsOf(vpcOf(state), 'public-addresses').includes('10.0.1.5 : 203.0.113.5'));
  const internet = (from: CloudState) => routesOf(planned(from).namespaces.get('lab-internet')!, 254);
  assert.ok(internet(state).some((route) => route.startsWith('203.0.113.5/32 via 169.254.0.1 dev vpc-')));
  const closed = { ...state, internetGateways: {} };
  assert.deepEqual(elementsOf(vpcOf(closed), 'public-addresses'), []);
  assert.deepEqual(internet(closed), ['blackhole 203.0.113.0/24', 'blackhole 0.0.0.0/0']);
});

test('two route tables never share a mark', () => {
  const { rules } = vpcOf(testCloud());
  const marks = rules.flatMap(({ fwmark }) => fwmark ?? []);
  assert.equal(new Set(marks).size, [PUBLIC_TABLE, PRIVATE_TABLE].length);
});
