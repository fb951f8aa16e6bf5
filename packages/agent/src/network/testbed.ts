/**
 * A node and its VPC for tests, in network namespaces of their own.
 *
 * The VPC is as strict as Amazon's: it drops what leaves a network interface with an address that the interface
 * does not own.
 */
import { spawnSync } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import type { Ipv4, Ipv4Cidr } from '@enid/ip';
import {
  addAddress,
  addLink,
  addNeighbour,
  addRoute,
  bindUdp,
  NetNamespace,
  Nftables,
  Rtnetlink,
  setLink,
  sysctl,
} from '@enid/linux';
import { readConfig } from '../config.ts';
import type { Assignment, NodeEni } from '../seams.ts';

export const VPC_CIDR = '10.0.0.0/16' as Ipv4Cidr;
/** A host in another subnet of the VPC. */
export const VPC_HOST = '10.0.2.20' as Ipv4;
/** A host outside the VPC. */
export const INTERNET_HOST = '203.0.113.10' as Ipv4;

const subnetCidr = '10.0.1.0/24' as Ipv4Cidr;

export const primaryEni: NodeEni = {
  id: 'eni-primary',
  mac: '02:00:00:00:01:00',
  deviceNumber: 0,
  primary: true,
  primaryIp: '10.0.1.4' as Ipv4,
  subnetCidr,
  table: 254,
};

export const secondaryEni: NodeEni = {
  id: 'eni-secondary',
  mac: '02:00:00:00:01:01',
  deviceNumber: 1,
  primary: false,
  primaryIp: '10.0.1.50' as Ipv4,
  subnetCidr,
  table: 2,
};

/** Addresses of the primary ENI are 10.0.1.4 to 10.0.1.49, those of the secondary one 10.0.1.50 to 10.0.1.99. */
const blocks = new Map([
  [primaryEni, '10.0.1.4-10.0.1.49'],
  [secondaryEni, '10.0.1.50-10.0.1.99'],
]);

export type Testbed = {
  readonly name: string;
  readonly node: NetNamespace;
  readonly vpc: NetNamespace;
  /** Attaches an ENI: its link appears on the node, down and without addresses. */
  attach(eni: NodeEni): void;
  /** A namespace for one more pod. */
  makePod(): { readonly ns: NetNamespace; readonly path: string };
};

let count = 0;

/** Makes the node with its primary ENI up, and the VPC. All of it goes when the test has ended. */
export function makeTestbed(t: Pick<TestContext, 'after'>): Testbed {
  const name = `at${process.pid}-${++count}`;
  const make = (suffix: string) => {
    const ns = NetNamespace.create(`${name}-${suffix}`);
    t.after(() => {
      ns.close();
      NetNamespace.delete(`${name}-${suffix}`);
    });
    return ns;
  };
  const node = make('node');
  const vpc = make('vpc');
  using onNode = Rtnetlink.open(node);
  using inVpc = Rtnetlink.open(vpc);
  sysctl.set(vpc, 'net.ipv4.ip_forward', 1);
  // The strictest that distributions ship.
  for (const scope of ['all', 'default']) sysctl.set(node, `net.ipv4.conf.${scope}.rp_filter`, 1);
  for (const netlink of [onNode, inVpc]) netlink.execute([setLink('lo', { up: true })]);
  const lo = inVpc.link('lo')!.index;
  const gateway = '10.0.1.1' as Ipv4;
  inVpc.execute(
    [gateway, VPC_HOST, INTERNET_HOST].map((address) => addAddress({ index: lo, address, prefixLength: 32 })),
  );
  new Nftables(vpc).applySync(`table ip strict { chain source {
    type filter hook prerouting priority raw; policy accept;
    ${[...blocks].map(([eni, block]) => `iifname "port${eni.deviceNumber}" ip saddr != ${block} counter drop`).join('\n')}
  }
  }`);

  const attach = (eni: NodeEni) => {
    using inVpc = Rtnetlink.open(vpc);
    const port = `port${eni.deviceNumber}`;
    const peer = { name: `eth${eni.deviceNumber}`, mac: eni.mac, mtu: 9001, netns: node };
    inVpc.execute([addLink({ kind: 'veth', name: port, mtu: 9001, up: true, peer })]);
    const { index } = inVpc.link(port)!;
    const [first, last] = blocks
      .get(eni)!
      .split('-')
      .map((address) => Number(address.split('.')[3]));
    const requests = [];
    for (let host = first!; host <= last!; host++) {
      const address = `10.0.1.${host}` as Ipv4;
      // The VPC forwards by address: it asks nobody who has it.
      requests.push(
        addRoute({ destination: `${address}/32` as Ipv4Cidr, oif: index, prefSource: gateway }),
        addNeighbour({ index, address, mac: eni.mac }),
      );
    }
    inVpc.execute(requests);
  };

  attach(primaryEni);
  const { index } = onNode.link('eth0')!;
  onNode.execute([
    setLink(index, { up: true }),
    addAddress({ index, address: primaryEni.primaryIp, prefixLength: 24 }),
    addRoute({ destination: 'default', gateway, oif: index }),
  ]);

  let pods = 0;
  const makePod = () => {
    const suffix = `pod${++pods}`;
    return { ns: make(suffix), path: `/run/netns/${name}-${suffix}` };
  };
  return { name, node, vpc, attach, makePod };
}

/** The agent's options by default, changed by environment variables. */
export function networkOptions(env: NodeJS.ProcessEnv = {}) {
  return readConfig(env).network;
}

/** An address of an ENI held by the pod `default/<podName>`. */
export function assignmentOf(podName: string, address: string, eni: NodeEni): Assignment {
  return {
    key: { network: 'aws-cni', containerId: `container-of-${podName}`, ifName: 'eth0' },
    address: address as Ipv4,
    eni,
    metadata: { k8sPodNamespace: 'default', k8sPodName: podName },
  };
}

/** What `ip -j` prints inside the namespace. */
// biome-ignore lint/suspicious/noExplicitAny: whatever iproute2 prints
export function ip(ns: NetNamespace, ...args: string[]): any {
  const { status, stdout, stderr } = ns.run(() => spawnSync('ip', ['-j', ...args], { encoding: 'utf8' }));
  if (status !== 0) throw new Error(`ip ${args.join(' ')}: ${stderr}`);
  return stdout.trim() === '' ? [] : JSON.parse(stdout);
}

/** A UDP socket inside a namespace, closed after the test. */
export function udp(t: Pick<TestContext, 'after'>, ns: NetNamespace, address: Ipv4, port = 0): Socket {
  const socket = createSocket('udp4').bind({ fd: bindUdp(ns, address, port) });
  t.after(() => socket.close());
  return socket;
}

/**
 * Sends a datagram and waits for the answer of a server that echoes.
 * @returns the answer's source, and the source that the server saw; undefined when nothing came within `timeout` ms.
 */
export async function exchange(
  client: Socket,
  server: Socket,
  address: string,
  port: number,
  timeout = 2000,
): Promise<{ seenBy: string; seenPort: number; answeredBy: string } | undefined> {
  const signal = AbortSignal.timeout(timeout);
  const answer = once(client, 'message', { signal });
  const arrival = once(server, 'message', { signal });
  client.send('ping', port, address);
  try {
    const [, from] = await arrival;
    server.send('pong', from.port, from.address);
    const [, by] = await answer;
    return { seenBy: from.address, seenPort: from.port, answeredBy: by.address };
  } catch (error) {
    answer.catch(() => {});
    if ((error as Error).name === 'AbortError') return undefined;
    throw error;
  }
}
