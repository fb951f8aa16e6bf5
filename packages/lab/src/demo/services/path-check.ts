/** Has a client on the internet ask a pod through a load balancer, and follows the question hop by hop. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { DescribeNetworkInterfacesCommand } from '@aws-sdk/client-ec2';
import { type Ipv4, parseIp } from '@enid/ip';
import type { Service } from '@enid/kube';
import { bindUdp, NetNamespace } from '@enid/linux';
import { internetNamespaceName } from '../../fabric/names.ts';
import { INTERNET_CLIENT } from '../../internet/addresses.ts';
import type { Lab } from '../../lab/lab.ts';
import { Capture, type Packet } from '../capture.ts';
import type { Check, Demo } from '../check.ts';
import { exposed } from './exposed.ts';
import type { Party, Path } from './paths.ts';
import { type Hop, routeOf, type Stations } from './route.ts';

/** One row of the table: what a pod saw. */
export type Sighting = {
  readonly path: Path;
  /** Who the last packet came from, and whom the pod took for its client. */
  readonly source: string;
  readonly client: string;
};

/** Requests, and datagrams: handshakes and health checks by TCP carry nothing. */
const FILTER = 'udp or tcp[tcpflags] & tcp-push != 0';
const POD_PORTS = { TCP: 8080, UDP: 8081 };

const WORDS: Readonly<Record<Party, string>> = {
  client: 'the client',
  node: 'a node: kube-proxy sent the connection on from there',
  'load balancer': 'the load balancer',
};

/** @param sightings is told what the pod saw. */
export const pathCheck = (path: Path, sightings: Sighting[]): Check => ({
  name: `${path.title}: the pod sees ${path.told.client === 'node' ? 'a node' : WORDS[path.told.client]}${
    path.told.by === 'the connection' ? '' : `, told by ${path.told.by}`
  }`,
  async run(demo) {
    const { lab, red, blue, evidence } = demo;
    const { dnsName, zones, kind } = await exposed(demo, path);
    // Zones stand by themselves: which node has a connection is the client's choice of a zone.
    const entry = path.target === 'first node' ? red.record : blue.record;
    const host = kind === 'network' ? `${entry.availabilityZone}.${dnsName}` : dnsName;
    const address = await resolve(lab, host);
    const zone = zones.find(({ publicAddress }) => publicAddress === address);
    evidence.expect(zone !== undefined, `${host} leads to ${address}, an address of the load balancer`);

    const stations = await stationsOf(demo, path, zone!);
    await using vpc = await Capture.start(lab, 'vpc', FILTER);
    await using first = await Capture.start(lab, red.record.name, FILTER);
    await using second = await Capture.start(lab, blue.record.name, FILTER);
    const captures = { vpc, [red.record.name]: first, [blue.record.name]: second };
    const client = await ask(lab, path, host, address);

    const route = routeOf(path, stations);
    const packets = await Promise.all(
      route.map((hop) => captures[hop.at]!.find(hop.link, hop.direction, says(path, hop))),
    );
    const name = (one: string) => nameOf(stations, one);
    evidence.show(
      'tcpdump -i any, at each hop',
      route.map((hop, index) => describe(hop, packets[index], name)),
    );
    evidence.expect(
      packets.every(Boolean),
      `packets reach the pod from ${route.at(-1)!.from}, ${name(route.at(-1)!.from)}`,
    );
    const expected = {
      client: stations.client,
      node: stations.first.address,
      'load balancer': zone!.address,
    };
    evidence.expect(
      client === expected[path.told.client],
      `the pod takes ${client}, ${name(client)}, for its client, by ${path.told.by}`,
    );
    sightings.push({
      path,
      source: `${route.at(-1)!.from} (${name(route.at(-1)!.from)})`,
      client: `${client} (${name(client)})`,
    });
  },
});

async function resolve(lab: Lab, host: string): Promise<string> {
  const { stdout } = await lab.run('internet', ['getent', 'ahostsv4', host]);
  return stdout.split(/\s/)[0]!;
}

async function stationsOf(
  { client, pods, ec2, red, blue }: Demo,
  path: Path,
  zone: Stations['zone'],
): Promise<Stations> {
  const pod = await pods.find(path.backend);
  const Filters = [{ Name: 'addresses.private-ip-address', Values: [pod.address] }];
  const { NetworkInterfaces } = await ec2.send(new DescribeNetworkInterfacesCommand({ Filters }));
  const { spec } = await client.get<Service>(`/api/v1/namespaces/default/services/${path.service}`);
  return {
    client: INTERNET_CLIENT,
    zone,
    first: red.record,
    second: blue.record,
    pod: {
      address: pod.address,
      hostInterface: pod.hostInterface,
      eni: `eth${NetworkInterfaces![0]!.Attachment!.DeviceIndex}`,
    },
    podPort: POD_PORTS[path.protocol],
    nodePort: spec?.ports?.[0]?.nodePort,
  };
}

/** @returns the address that the pod takes for its client. */
async function ask(
  lab: Lab,
  { protocol, port, question }: Path,
  host: string,
  address: string,
): Promise<string> {
  if (protocol === 'UDP') return (await askByUdp(lab, address as Ipv4, port)).split(':')[0]!;
  const url = `http://${host}:${port}${question}`;
  const { status, stdout, stderr } = await lab.run('internet', [
    'curl',
    '-sS',
    '--max-time',
    '5',
    '--resolve',
    `${host}:${port}:${address}`,
    url,
  ]);
  if (status !== 0) throw new Error(`${url} does not answer: ${stderr.trim()}`);
  return stdout.split(':')[0]!;
}

async function askByUdp(lab: Lab, address: Ipv4, port: number): Promise<string> {
  using internet = NetNamespace.named(internetNamespaceName(lab.directory.prefix));
  const socket = createSocket('udp4').bind({ fd: bindUdp(internet, parseIp(INTERNET_CLIENT), 0) });
  try {
    const answer = once(socket, 'message', { signal: AbortSignal.timeout(5_000) });
    socket.send('clientip', port, address);
    return String((await answer)[0]);
  } finally {
    socket.close();
  }
}

/** What tcpdump says of a hop. An ALB's health checks are requests, too, from where its requests come from. */
function says({ told, question }: Path, { from, to, port }: Hop): RegExp {
  const ends = `^IP ${RegExp.escape(from)}\\.\\d+ > ${RegExp.escape(to)}\\.${port}: `;
  return new RegExp(told.by === 'X-Forwarded-For' ? `${ends}.*GET ${RegExp.escape(question)}` : ends);
}

function describe(hop: Hop, packet: Packet | undefined, name: (address: string) => string): string {
  const where = `${hop.at.padEnd(6)} ${hop.link.padEnd(15)} ${hop.direction.padEnd(3)}`;
  if (!packet) return `${where} NOTHING from ${hop.from} to ${hop.to}:${hop.port}`;
  const ends = packet.text.slice(0, packet.text.indexOf(': '));
  return `${where} ${ends.padEnd(46)} ${name(hop.from)} > ${name(hop.to)}`;
}

function nameOf({ client, zone, first, second, pod }: Stations, address: string): string {
  if (address === client) return 'client';
  if (address === zone.address || address === zone.publicAddress) return 'load balancer';
  if (address === pod.address) return 'pod';
  return [first, second].find((node) => node.address === address)?.name ?? 'nobody';
}
