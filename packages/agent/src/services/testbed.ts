/**
 * A node with pods, its network and a client outside, for tests, in network namespaces of their own. The backends are
 * real sockets that tell who they are and whom they see.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { type Ip, type Ipv4, parseIp } from '@enid/ip';
import {
  addAddress,
  addLink,
  addNeighbour,
  addRoute,
  bindUdp,
  connectTcp,
  listenTcp,
  NetNamespace,
  Rtnetlink,
  setLink,
  sysctl,
} from '@enid/linux';
import type { EndpointSlice, Service, ServiceSpec, SliceEndpoint } from './kubernetes.ts';
import { ServiceProxy, type ServiceProxyOptions } from './service-proxy.ts';

type After = Pick<TestContext, 'after'>;

export const NODE = { name: 'node-1', zone: 'zone-a' };
export const NODE_IP = '10.0.0.10';
/** Another address of the node, on the same link. */
export const NODE_IP_2 = '10.0.0.11';
/** A client outside the VPC. */
export const CLIENT = '203.0.113.5';
const NODE_MAC = '02:00:00:00:02:01';
const ROUTER = '10.0.0.1';
const GATEWAY = '169.254.1.1' as Ipv4;

/** An address of no host, which the VPC delivers to the node: externalIPs, load balancers that leave it as it is. */
export const VIPS = ['198.51.100.1', '198.51.100.2', '198.51.100.3'] as const;

export type Bed = {
  readonly node: NetNamespace;
  readonly outside: NetNamespace;
  /** A pod of the node, and one elsewhere in the VPC; each in a namespace of its own. */
  pod(address: string): NetNamespace;
  remote(address: string): NetNamespace;
  readonly name: string;
};

let count = 0;

/** With `v6`, every host also has the address that {@link v6Of} gives it. */
export function makeBed(t: After): Bed {
  const name = `st${process.pid}-${++count}`;
  const make = (suffix: string) => {
    const ns = NetNamespace.create(`${name}-${suffix}`);
    t.after(() => {
      ns.close();
      NetNamespace.delete(`${name}-${suffix}`);
    });
    for (const key of ['conf/all/forwarding', 'conf/default/forwarding'])
      sysctl.set(ns, `net/ipv6/${key}`, 1);
    for (const scope of ['all', 'default']) {
      sysctl.set(ns, `net/ipv6/conf/${scope}/accept_dad`, 0);
      sysctl.set(ns, `net/ipv4/conf/${scope}/rp_filter`, 0);
    }
    sysctl.set(ns, 'net.ipv4.ip_forward', 1);
    using netlink = Rtnetlink.open(ns);
    netlink.execute([setLink('lo', { up: true })]);
    return ns;
  };
  const node = make('node');
  const outside = make('out');
  let links = 0;
  /** Wires a host to a router by one link, as pods are: routes by address, permanent neighbours. */
  const wire = (router: NetNamespace, link: string, host: NetNamespace, addresses: readonly Ip[]) => {
    const number = ++links;
    const macs = [`02:00:00:00:01:${hex(number)}`, `02:00:00:00:02:${hex(number)}`] as const;
    using atRouter = Rtnetlink.open(router);
    using atHost = Rtnetlink.open(host);
    atRouter.execute([
      addLink({
        kind: 'veth',
        name: link,
        mac: macs[0],
        up: true,
        peer: { name: 'eth0', mac: macs[1], netns: host },
      }),
    ]);
    const outer = atRouter.link(link)!.index;
    const index = atHost.link('eth0')!.index;
    const gateways = [GATEWAY, v6Of(GATEWAY)];
    atHost.execute([
      setLink(index, { up: true }),
      ...addresses.map((address) => assign(index, address)),
      ...gateways.map((address) => addNeighbour({ index, address, mac: macs[0] })),
      ...gateways.flatMap((gateway) => [
        addRoute({ destination: cidr(gateway), oif: index, scope: 'link' }),
        addRoute({ destination: 'default', family: gateway.includes(':') ? 6 : 4, gateway, oif: index }),
      ]),
    ]);
    atRouter.execute(
      addresses.flatMap((address) => [
        addRoute({ destination: cidr(address), oif: outer, scope: 'link' }),
        addNeighbour({ index: outer, address, mac: macs[1] }),
      ]),
    );
  };
  const both = (...addresses: string[]) => addresses.flatMap((address) => [parseIp(address), v6Of(address)]);
  wire(outside, 'to-node', node, both(NODE_IP, NODE_IP_2));
  using atOutside = Rtnetlink.open(outside);
  const lo = atOutside.link('lo')!.index;
  atOutside.execute(both(CLIENT, ROUTER).map((address) => assign(lo, address)));
  const host = (router: NetNamespace, prefix: string) => (address: string) => {
    const ns = make(`h${links}`);
    wire(router, `${prefix}${links}`, ns, both(address));
    if (router === node) {
      // The VPC delivers to the node what is for its pods.
      using netlink = Rtnetlink.open(outside);
      const { index } = netlink.link('to-node')!;
      netlink.execute(
        both(address).flatMap((address) => [
          addRoute({ destination: cidr(address), oif: index, scope: 'link' }),
          addNeighbour({ index, address, mac: NODE_MAC }),
        ]),
      );
    }
    return ns;
  };
  const toNode = atOutside.link('to-node')!.index;
  atOutside.execute(
    both(...VIPS).flatMap((address) => [
      addRoute({ destination: cidr(address), oif: toNode, scope: 'link' }),
      addNeighbour({ index: toNode, address, mac: NODE_MAC }),
    ]),
  );
  return { node, outside, name, pod: host(node, 'eni'), remote: host(outside, 'port') };
}

/** The IPv6 address of the host that has an IPv4 address. */
export function v6Of(address: string): Ip {
  return parseIp(
    `fd00::${address
      .split('.')
      .map((part) => hex(Number(part)))
      .join(':')}`,
  );
}

/** Without the search for duplicates, during which an address cannot be bound to. */
function assign(index: number, address: Ip) {
  const v6 = address.includes(':');
  return addAddress({ index, address, prefixLength: v6 ? 128 : 32, ...(v6 && { noDad: true }) });
}

function hex(number: number): string {
  return number.toString(16).padStart(2, '0');
}

function cidr(address: Ip) {
  return `${address}/${address.includes(':') ? 128 : 32}` as `${string}` & never;
}

/** A TCP server that answers each connection with `name client-address` and keeps it open while the client does. */
export function serveTcp(t: After, ns: NetNamespace, address: string, port: number, name: string): void {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.write(`${name} ${socket.remoteAddress}\n`);
    socket.on('data', (data) => socket.write(data));
  });
  const open = new Set<Socket>();
  server.on('connection', (socket) => open.add(socket));
  server.listen({ fd: listenTcp(ns, parseIp(address), port) });
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
}

/** What a connection came to: who answered, and which client it saw; or the error's code, or `timeout`. */
export type Outcome = { readonly by: string; readonly sees: string } | string;

/** Connects once. */
export async function call(
  ns: NetNamespace,
  address: string,
  port: number,
  options: { localAddress?: Ip; timeout?: number } = {},
): Promise<Outcome> {
  const { socket, outcome } = open(ns, address, port, options);
  try {
    return await outcome;
  } finally {
    socket.destroy();
  }
}

/** Opens a connection and leaves it open. */
export function open(
  ns: NetNamespace,
  address: string,
  port: number,
  { localAddress, timeout = 2000 }: { localAddress?: Ip; timeout?: number } = {},
): { socket: Socket; outcome: Promise<Outcome> } {
  const socket = connectTcp(ns, parseIp(address), port, localAddress ? { localAddress } : {});
  const outcome = new Promise<Outcome>((resolve) => {
    const timer = setTimeout(() => resolve('timeout'), timeout);
    const end = (result: Outcome) => {
      clearTimeout(timer);
      resolve(result);
    };
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    socket.once('data', (data) => {
      const [by = '', sees = ''] = String(data).trim().split(' ');
      end({ by, sees });
    });
    socket.on('close', () => end('closed'));
  });
  return { socket, outcome };
}

/** A UDP server that answers each datagram with `name client-address`. */
export function serveUdp(t: After, ns: NetNamespace, address: string, port: number, name: string): void {
  const socket = udpSocket(t, ns, address, port);
  socket.on('message', (_data, from) => socket.send(`${name} ${from.address}`, from.port, from.address));
}

export function udpSocket(t: After, ns: NetNamespace, address: string, port = 0): UdpSocket {
  const type = address.includes(':') ? 'udp6' : 'udp4';
  const socket = createSocket(type).bind({ fd: bindUdp(ns, parseIp(address), port) });
  socket.on('error', () => {});
  t.after(() => socket.close());
  return socket;
}

/** Sends a datagram from a socket and waits for the answer. */
export async function ask(
  socket: UdpSocket,
  address: string,
  port: number,
  timeout = 1000,
): Promise<Outcome> {
  const answer = once(socket, 'message', { signal: AbortSignal.timeout(timeout) });
  socket.send('ping', port, address);
  try {
    const [data] = await answer;
    const [by = '', sees = ''] = String(data).split(' ');
    return { by, sees };
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ABORT_ERR'
      ? 'timeout'
      : String((error as Error).message);
  }
}

/** Who answered some connections, and how often. */
export async function spread(
  times: number,
  connect: () => Promise<Outcome>,
): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let done = 0; done < times; done += 20) {
    for (const outcome of await Promise.all(Array.from({ length: 20 }, connect))) {
      const by = typeof outcome === 'string' ? outcome : outcome.by;
      counts[by] = (counts[by] ?? 0) + 1;
    }
  }
  return counts;
}

/** A Service in namespace `default`. */
export function service(name: string, spec: ServiceSpec, rest: Partial<Service> = {}): Service {
  return {
    metadata: { namespace: 'default', name, creationTimestamp: '2024-01-01T00:00:00Z' },
    spec: { type: 'ClusterIP', ...spec },
    ...rest,
  };
}

/** A slice of a Service in namespace `default`: endpoints as addresses of this node's pods, or in full. */
export function slice(
  serviceName: string,
  port: number,
  endpoints: readonly (string | SliceEndpoint)[],
  { protocol = 'TCP', addressType = 'IPv4', portName = '' } = {},
): EndpointSlice {
  return {
    metadata: {
      namespace: 'default',
      name: `${serviceName}-${++count}`,
      labels: { 'kubernetes.io/service-name': serviceName },
    },
    addressType,
    ports: [{ name: portName, protocol, port }],
    endpoints: endpoints.map((endpoint) =>
      typeof endpoint === 'string' ? { addresses: [endpoint], nodeName: NODE.name } : endpoint,
    ),
  };
}

/** An endpoint on another node. */
export function elsewhere(address: string, rest: Partial<SliceEndpoint> = {}): SliceEndpoint {
  return { addresses: [address], nodeName: 'node-2', ...rest };
}

/** A proxy in a bed's node. It has a namespace handle of its own, as it closes that. */
export async function startProxy(
  t: After,
  bed: Bed,
  options: ServiceProxyOptions = {},
): Promise<ServiceProxy> {
  const proxy = await ServiceProxy.start({
    ns: NetNamespace.named(`${bed.name}-node`),
    podLinks: 'eni*',
    ...options,
  });
  t.after(() => proxy.stop());
  return proxy;
}

/** Brings a proxy to a state, and waits until it is there. */
export async function bring(
  proxy: ServiceProxy,
  services: readonly Service[],
  endpointSlices: readonly EndpointSlice[],
): Promise<void> {
  proxy.update({ services, endpointSlices, node: NODE });
  await proxy.settled();
}
