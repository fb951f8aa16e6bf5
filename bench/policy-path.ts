/** Two pods in namespaces of their own, and what lies in the way between them. */
import type { Ipv4, Ipv4Cidr } from '@enid/ip';
import { type Host, Lab } from '@enid/lab';
import {
  addAddress,
  addLink,
  addNeighbour,
  addRoute,
  NetNamespace,
  Nftables,
  Rtnetlink,
  setLink,
  sysctl,
} from '@enid/linux';
import type { End } from './traffic.ts';

const GATEWAY = '169.254.1.1' as Ipv4;

/** A pod, and its link on its node. */
export type Side = End & { readonly node: NetNamespace; readonly ifindex: number };
export type Path = { readonly client: Side; readonly server: Side };

/**
 * Pods on two nodes of a lab, with the routes, rules and tables of the agents and the VPC between them; the stack takes it away.
 * @returns the path that traffic takes, and another one between the same nodes.
 */
export async function makeLabPaths(
  stack: AsyncDisposableStack,
  name: string,
  host: Host,
  progress: (line: string) => void,
): Promise<{ path: Path; beside: Path }> {
  const { labUp } = await import('@enid/lab/up');
  stack.defer(async () => void (await Lab.down(name)));
  const env = { ENABLE_NETWORK_POLICY: 'false' };
  const lab = await labUp(
    { name, nodes: 2, instanceType: 't3.medium', kubernetes: false, env },
    host,
    progress,
  );
  const nodes = ['node-1', 'node-2'].map((name) => {
    const node = lab.node(name);
    const namespace = NetNamespace.named(node.record.namespace);
    stack.defer(() => namespace.close());
    return { node, namespace };
  });
  const make = async (name: string): Promise<Path> => {
    const [client, server] = await Promise.all(
      nodes.map(async ({ node, namespace }, i): Promise<Side> => {
        const { netns, address, hostInterface } = await lab.pods.add(node, `${name}-${i}`);
        using rtnetlink = Rtnetlink.open(namespace);
        return { namespace: netns, address, node: namespace, ifindex: rtnetlink.link(hostInterface)!.index };
      }),
    );
    return { client: client!, server: server! };
  };
  return { path: await make('path'), beside: await make('beside') };
}

let made = 0;

/** Pods of one node, wired as the agent wires them; the stack takes it away. New flows of UDP end at the server's door, and connections are tracked, as on a node. */
export function makePath(stack: AsyncDisposableStack): Path {
  const name = `bp${process.pid}-${++made}`;
  const make = (suffix: string) => {
    // First, as a stack that has been disposed of takes nothing more.
    stack.defer(() => NetNamespace.delete(`${name}-${suffix}`));
    const ns = NetNamespace.create(`${name}-${suffix}`);
    stack.defer(() => ns.close());
    return ns;
  };
  const node = make('node');
  using onNode = Rtnetlink.open(node);
  onNode.execute([setLink('lo', { up: true })]);
  sysctl.set(node, 'net.ipv4.ip_forward', 1);
  new Nftables(node).applySync(`table ip base {
    chain raw { type filter hook prerouting priority raw; meta l4proto udp notrack; }
    chain tracked { type nat hook postrouting priority srcnat; }
  }`);
  const pod = (suffix: 'client' | 'server', host: number) => {
    const address = `10.0.1.${host}` as Ipv4;
    const ns = make(suffix);
    onNode.execute([
      addLink({ kind: 'veth', name: suffix, mtu: 9001, peer: { name: 'eth0', mtu: 9001, netns: ns } }),
    ]);
    const { index, mac } = onNode.link(suffix)!;
    onNode.execute([
      setLink(index, { up: true }),
      addRoute({ destination: `${address}/32` as Ipv4Cidr, oif: index }),
    ]);
    using inPod = Rtnetlink.open(ns);
    const eth0 = inPod.link('eth0')!.index;
    inPod.execute([
      setLink('lo', { up: true }),
      setLink(eth0, { up: true }),
      addAddress({ index: eth0, address, prefixLength: 32 }),
      addNeighbour({ index: eth0, address: GATEWAY, mac: mac! }),
      addRoute({ destination: `${GATEWAY}/32` as Ipv4Cidr, oif: eth0 }),
      addRoute({ destination: 'default', gateway: GATEWAY, oif: eth0 }),
    ]);
    if (suffix === 'server') {
      new Nftables(ns).applySync(
        'table ip door { chain in { type filter hook prerouting priority raw; meta l4proto udp drop; }; }',
      );
    }
    return { namespace: `${name}-${suffix}`, address, node, ifindex: index };
  };
  return { client: pod('client', 1), server: pod('server', 2) };
}
