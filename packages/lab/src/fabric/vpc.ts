import { addressAt, cidrOf, contains, type Ipv4Cidr, networkOf } from '@enid/ip';
import { type CloudState, ownedBlocks, type RouteTarget, routeTableOf, type Vpc } from '../cloud/state.ts';
import { connectedVpcs, INTERNET_END, translationsOf } from './internet.ts';
import {
  type Blackhole,
  DEFAULT_ROUTE,
  type LinkRoute,
  MAIN_TABLE,
  type NamespacePlan,
  type NextHop,
  type RoutingRule,
  TABLE_NAME,
} from './model.ts';
import { INTERNET_GATEWAY_LINK, LINK_LOCAL_SERVICES, portName } from './names.ts';
import type { PluggedInterface } from './plugged.ts';
import { CONNTRACK_SYSCTLS, ROUTER_SYSCTLS } from './router.ts';
import type { Table } from './ruleset.ts';
import { INGRESS_STAGE, securityGroupRules } from './security-groups.ts';

/** Why a VPC drops a packet; each is a counter in its nftables table. */
export const DROP_REASONS = [
  /** It has another MAC address than the interface it comes from. */
  'source-mac',
  /** The interface that it comes from does not own its source, or it comes from the internet with a source in the VPC. */
  'source-check',
  /** A route table leads it to an interface that does not own its destination and has the check on. */
  'destination-check',
  /** The subnet's route table knows no way, or nobody has the address. */
  'no-route',
  /** It crosses the internet gateway, and the interface has no public address. */
  'no-public-address',
  /** It belongs to no connection and cannot begin one. */
  'invalid',
  /** The security groups of the interface that it comes from do not let it out. */
  'security-group-egress',
  /** The security groups of the interface that it goes to do not let it in. */
  'security-group-ingress',
] as const;

export type DropReason = (typeof DROP_REASONS)[number];

const drop = (reason: DropReason) => `counter name ${reason} drop`;

/** In the mark, and the number of the routing table, of a network load balancer's flows. */
const FLOWS = 0x4000_0000;
const FLOWS_PRIORITY = 50;

/** The mark of the connections that a network load balancer's interface begins. */
const flowMark = (networkInterfaceId: string): number =>
  FLOWS | Number.parseInt(networkInterfaceId.slice(-7), 16);

const ofFlows = ({ eni }: PluggedInterface): boolean => eni.kind === 'network_load_balancer';

/** The routing table of all addresses in the VPC, and the priority of the rule that leads to it. */
const VPC_TABLE = 100;
const VPC_PRIORITY = 100;

/** The VPC's router: a port per interface, and all that decides between them. */
export function planVpc(state: CloudState, vpc: Vpc, plugged: readonly PluggedInterface[]): NamespacePlan {
  const subnets = Object.values(state.subnets).filter((subnet) => subnet.vpcId === vpc.id);
  const routing = planRouting(state, vpc, plugged);
  return {
    ownership: 'whole',
    sysctls: {
      ...ROUTER_SYSCTLS,
      ...CONNTRACK_SYSCTLS,
      // Each port answers ARP for every address that the VPC routes to another port.
      'net.ipv4.conf.all.proxy_arp': '1',
      // A NAT gateway passes the router's own ICMP errors on. Other interfaces do not own the router's addresses.
      'net.ipv4.conf.all.accept_local': '1',
    },
    addresses: [...LINK_LOCAL_SERVICES, ...subnets.map(({ cidr }) => addressAt(cidr, 1))].map((address) => ({
      link: 'lo',
      address,
      prefixLength: 32,
    })),
    neighbours: [
      ...plugged.map(({ eni }) => ({ link: portName(eni.id), address: eni.primaryIp, mac: eni.mac })),
      ...(connectedVpcs(state).includes(vpc.id) ? [{ link: INTERNET_GATEWAY_LINK, ...INTERNET_END }] : []),
    ],
    ...routing,
    tables: [packetTable(state, vpc, plugged), arpTable(plugged)],
  };
}

/**
 * First the addresses in the VPC, interface by interface; then the route table of the subnet that a packet comes
 * from, which its mark names. A route more specific than the VPC's blocks goes before them, as AWS allows
 * for leading traffic between subnets through an appliance.
 */
function planRouting(
  state: CloudState,
  vpc: Vpc,
  plugged: readonly PluggedInterface[],
): Pick<NamespacePlan, 'routes' | 'rules'> {
  const blocks = vpc.cidrBlocks.map(({ cidr }) => cidr);
  const owned = plugged.flatMap(({ eni, subnet }): LinkRoute[] => {
    const common = { table: VPC_TABLE, link: portName(eni.id), prefSource: addressAt(subnet.cidr, 1) };
    return ownedBlocks(eni).map((block) => {
      const destination = block.includes('/') ? (block as Ipv4Cidr) : (`${block}/32` as Ipv4Cidr);
      if (block === eni.primaryIp) return { ...common, destination };
      // The primary address has the neighbour entry: one for all of an interface's addresses.
      return { ...common, destination, gateway: eni.primaryIp, onlink: true };
    });
  });
  const unowned = blocks.map((destination) => ({ destination, table: VPC_TABLE, blackhole: true as const }));

  const routes: LinkRoute[] = [];
  const rules = new Map<number, RoutingRule>([[VPC_TABLE, { priority: VPC_PRIORITY, table: VPC_TABLE }]]);
  for (const routeTable of Object.values(state.routeTables).filter(({ vpcId }) => vpcId === vpc.id)) {
    const mark = markOf(routeTable.id);
    for (const { destination, target } of routeTable.routes) {
      if (target.kind === 'local') continue;
      const inside = blocks.some((block) => contains(block, networkOf(destination)));
      const table = inside ? mark | INSIDE : mark;
      routes.push({ destination, table, ...nextHop(state, vpc, plugged, target) });
      rules.set(table, { priority: VPC_PRIORITY + (inside ? -1 : 1), table, fwmark: mark });
    }
  }
  // What a network load balancer passes on has its client's address; the answer goes back to it all the same.
  for (const { eni } of plugged.filter(ofFlows)) {
    const table = flowMark(eni.id);
    routes.push({
      destination: DEFAULT_ROUTE,
      table,
      link: portName(eni.id),
      gateway: eni.primaryIp,
      onlink: true,
    });
    rules.set(table, { priority: FLOWS_PRIORITY, table, fwmark: table });
  }
  return {
    routes: [
      ...owned,
      ...unowned,
      ...routes,
      // AWS drops what has no route and says nothing.
      { destination: DEFAULT_ROUTE, table: MAIN_TABLE, blackhole: true },
    ],
    rules: [...rules.values()],
  };
}

/** In the number of the routing table of a route table's routes inside the VPC. */
const INSIDE = 0x2000_0000;

/** The packet mark of a route table, also the number of its routing table: made of the digits of its id. */
function markOf(routeTableId: string): number {
  return 0x1000_0000 | Number.parseInt(routeTableId.slice(-7), 16);
}

function nextHop(
  state: CloudState,
  vpc: Vpc,
  plugged: readonly PluggedInterface[],
  target: Exclude<RouteTarget, { kind: 'local' }>,
): NextHop | Blackhole {
  if (target.kind === 'internet-gateway') {
    if (state.internetGateways[target.id]?.vpcId !== vpc.id) return { blackhole: true };
    return { link: INTERNET_GATEWAY_LINK, gateway: INTERNET_END.address, onlink: true };
  }
  const id = target.kind === 'nat-gateway' ? state.natGateways[target.id]?.networkInterfaceId : target.id;
  const found = plugged.find(({ eni }) => eni.id === id);
  if (!found) return { blackhole: true };
  return { link: portName(found.eni.id), gateway: found.eni.primaryIp, onlink: true };
}

function packetTable(state: CloudState, vpc: Vpc, plugged: readonly PluggedInterface[]): Table {
  const interfaces = plugged.map(({ eni }) => eni);
  const groups = Object.values(state.securityGroups).filter(({ vpcId }) => vpcId === vpc.id);
  const security = securityGroupRules(groups, interfaces);
  const connected = connectedVpcs(state).includes(vpc.id);
  const translations = connected ? translationsOf(state, vpc.id) : [];
  const igw = `"${INTERNET_GATEWAY_LINK}"`;
  const ifConnected = (...rules: string[]) => (connected ? rules : []);
  const quoted = (id: string) => `"${portName(id)}"`;
  const unchecked = interfaces.filter((eni) => !eni.sourceDestCheck || eni.kind === 'nat_gateway');

  return {
    family: 'ip',
    name: TABLE_NAME,
    counters: DROP_REASONS,
    sets: [
      {
        name: 'interfaces',
        key: 'ifname . ether_addr',
        elements: interfaces.map((eni) => `${quoted(eni.id)} . ${eni.mac}`),
      },
      { name: 'unchecked', key: 'ifname', elements: unchecked.map((eni) => quoted(eni.id)) },
      {
        name: 'route-tables',
        key: 'ifname',
        value: 'mark',
        elements: plugged.flatMap(({ eni, subnet }) => {
          const table = routeTableOf(state, subnet.id);
          return table ? [`${quoted(eni.id)} : ${markOf(table.id)}`] : [];
        }),
      },
      {
        name: 'flows',
        key: 'ifname',
        value: 'mark',
        elements: plugged.filter(ofFlows).map(({ eni }) => `${quoted(eni.id)} : ${flowMark(eni.id)}`),
      },
      {
        name: 'vpc-blocks',
        key: 'ipv4_addr',
        interval: true,
        elements: vpc.cidrBlocks.map(({ cidr }) => cidr),
      },
      { name: 'services', key: 'ipv4_addr', elements: LINK_LOCAL_SERVICES },
      {
        name: 'public-addresses',
        key: 'ipv4_addr',
        value: 'ipv4_addr',
        elements: translations.map((translation) => `${translation.private} : ${translation.public}`),
      },
      {
        name: 'private-addresses',
        key: 'ipv4_addr',
        value: 'ipv4_addr',
        elements: translations.map((translation) => `${translation.public} : ${translation.private}`),
      },
      {
        name: 'translations',
        key: 'ipv4_addr . ipv4_addr',
        elements: translations.map((translation) => `${translation.private} . ${translation.public}`),
      },
      ...security.sets,
    ],
    chains: [
      {
        name: 'sources',
        hook: 'type filter hook prerouting priority raw; policy accept;',
        rules: [
          `iifname "eni-*" iifname . ether saddr != @interfaces ${drop('source-mac')}`,
          // Owned is what the VPC routes to the interface.
          `iifname "eni-*" iifname != @unchecked fib saddr . iif oif missing ${drop('source-check')}`,
          'meta mark set iifname map @route-tables',
          ...ifConnected(
            `iifname ${igw} ip saddr @vpc-blocks ${drop('source-check')}`,
            `iifname ${igw} ip daddr != @private-addresses ${drop('no-public-address')}`,
          ),
        ],
      },
      {
        name: 'flows-back',
        hook: 'type filter hook prerouting priority mangle; policy accept;',
        rules: [
          'ct state new ct mark set iifname map @flows',
          `ct direction reply ct mark & ${FLOWS} == ${FLOWS} meta mark set ct mark`,
        ],
      },
      {
        name: 'from-internet',
        hook: 'type nat hook prerouting priority dstnat; policy accept;',
        rules: ifConnected(`iifname ${igw} dnat to ip daddr map @private-addresses`),
      },
      {
        // After the translation. What has no route meets a blackhole anyway; here it is counted.
        name: 'destinations',
        hook: 'type filter hook prerouting priority dstnat + 10; policy accept;',
        rules: [`ct state new fib daddr type != local fib daddr . mark oif missing ${drop('no-route')}`],
      },
      {
        name: 'forward',
        hook: 'type filter hook forward priority filter; policy drop;',
        rules: [
          ...checkedTargets(state, vpc, plugged).map(
            ({ eni }) =>
              `oifname ${quoted(eni.id)} ip daddr != { ${ownedBlocks(eni).join(', ')} } ${drop('destination-check')}`,
          ),
          `ct state invalid ${drop('invalid')}`,
          ...ifConnected(
            `iifname ${igw} ct state established,related goto translated`,
            `oifname ${igw} ct state established,related goto translated`,
            `oifname ${igw} ip saddr != @public-addresses ${drop('no-public-address')}`,
          ),
          'ct state established,related accept',
          ...ifConnected(`iifname ${igw} goto ${INGRESS_STAGE}`),
          'iifname vmap @egress',
          drop('security-group-egress'),
        ],
      },
      {
        name: INGRESS_STAGE,
        rules: [
          ...ifConnected(`oifname ${igw} accept`),
          'oifname vmap @ingress',
          drop('security-group-ingress'),
        ],
      },
      {
        // A connection keeps the translation it began with. It ends with the association of the public address.
        name: 'translated',
        rules: [
          'ct original ip saddr . ct reply ip daddr @translations accept',
          'ct reply ip saddr . ct original ip daddr @translations accept',
          drop('no-public-address'),
        ],
      },
      {
        name: 'to-internet',
        hook: 'type nat hook postrouting priority srcnat; policy accept;',
        rules: ifConnected(`oifname ${igw} snat to ip saddr map @public-addresses`),
      },
      {
        // The router itself serves link-local addresses and answers nothing else.
        name: 'input',
        hook: 'type filter hook input priority filter; policy drop;',
        rules: [
          'iifname "lo" accept',
          'ct state established,related accept',
          'iifname "eni-*" ip daddr @services meta l4proto { tcp, udp } accept',
        ],
      },
      ...security.chains,
    ],
  };
}

/** Interfaces that a route leads to though they take only what is addressed to them. */
function checkedTargets(
  state: CloudState,
  vpc: Vpc,
  plugged: readonly PluggedInterface[],
): PluggedInterface[] {
  const targets = Object.values(state.routeTables)
    .filter(({ vpcId }) => vpcId === vpc.id)
    .flatMap(({ routes }) =>
      routes.flatMap(({ target }) => (target.kind === 'network-interface' ? [target.id] : [])),
    );
  return plugged.filter(({ eni }) => eni.sourceDestCheck && targets.includes(eni.id));
}

/** ARP is answered for the interface's own subnet and the link-local services, as on AWS, and only asked. */
function arpTable(plugged: readonly PluggedInterface[]): Table {
  const services = LINK_LOCAL_SERVICES.map((address) => cidrOf(address, 32));
  return {
    family: 'arp',
    name: TABLE_NAME,
    counters: [],
    sets: [
      {
        name: 'reachable',
        key: 'ifname . ipv4_addr',
        interval: true,
        elements: plugged.flatMap(({ eni, subnet }) =>
          [subnet.cidr, ...services].map((cidr) => `"${portName(eni.id)}" . ${cidr}`),
        ),
      },
    ],
    chains: [
      {
        name: 'input',
        hook: 'type filter hook input priority filter; policy drop;',
        rules: ['arp operation request iifname . arp daddr ip @reachable accept'],
      },
    ],
  };
}
