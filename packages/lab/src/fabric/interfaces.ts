import { addressAt, prefixLength } from '@enid/ip';
import type { CloudState, NetworkInterface } from '../cloud/state.ts';
import { loadBalancerHost } from './load-balancers.ts';
import { type Cable, DEFAULT_ROUTE, MAIN_TABLE, type NamespacePlan } from './model.ts';
import {
  instanceNamespaceName,
  natGatewayNamespaceName,
  portName,
  serviceNamespaceName,
  vpcNamespaceName,
} from './names.ts';
import type { PluggedInterface } from './plugged.ts';

/** Inside a VPC; towards the internet it is 1500. */
export const VPC_MTU = 9001;

/** The interfaces that have a device, in the order in which a booting machine finds them. */
export function pluggedInterfaces(state: CloudState, prefix: string): PluggedInterface[] {
  const order = (eni: NetworkInterface) =>
    (eni.attachment?.networkCardIndex ?? 0) * 100 + (eni.attachment?.deviceIndex ?? 0);
  return Object.values(state.networkInterfaces)
    .toSorted((a, b) => order(a) - order(b))
    .flatMap((eni) => {
      const host = hostOf(state, prefix, eni);
      const subnet = state.subnets[eni.subnetId];
      return host && subnet ? [{ eni, subnet, host }] : [];
    });
}

function hostOf(
  state: CloudState,
  prefix: string,
  { id, kind, holder, attachment }: NetworkInterface,
): PluggedInterface['host'] | undefined {
  if (kind === 'nat_gateway') {
    const nat = Object.values(state.natGateways).find(
      (gateway) => gateway.networkInterfaceId === id && gateway.state === 'available',
    );
    return nat && { namespace: natGatewayNamespaceName(prefix, nat.id), link: 'eth0', boots: true };
  }
  if (kind === 'load_balancer' || kind === 'network_load_balancer')
    return loadBalancerHost(state, prefix, id);
  if (holder !== undefined) {
    return { namespace: serviceNamespaceName(prefix, holder), link: 'eth0', boots: true };
  }
  if (attachment?.status !== 'attached' || !isUp(state, attachment.instanceId)) return undefined;
  return {
    namespace: instanceNamespaceName(prefix, attachment.instanceId),
    link: `eth${attachment.deviceIndex}`,
    boots: attachment.deviceIndex === 0 && attachment.networkCardIndex === 0,
  };
}

function isUp(state: CloudState, instanceId: string): boolean {
  return ['pending', 'running'].includes(state.instances[instanceId]?.state ?? '');
}

/** The cable of an interface. A primary interface comes up with its machine, others are found bare and down. */
export function interfaceCable({ eni, host }: PluggedInterface, prefix: string): Cable {
  const port = portName(eni.id);
  return {
    port: {
      namespace: vpcNamespaceName(prefix, eni.vpcId),
      name: port,
      // Otherwise the kernel waits up to 0.8 s before it answers ARP for somebody else.
      sysctls: { [`net.ipv4.neigh.${port}.proxy_delay`]: '0' },
    },
    plug: {
      namespace: host.namespace,
      name: host.link,
      mac: eni.mac,
      naming: host.boots ? 'exact' : 'free',
      up: host.boots,
    },
    mtu: VPC_MTU,
  };
}

/** What DHCP gives the primary interface of a booting machine: its address and a route by the subnet's gateway. */
export function leaseOf(plugged: PluggedInterface | undefined): Pick<NamespacePlan, 'addresses' | 'routes'> {
  if (!plugged) return { addresses: [], routes: [] };
  const { eni, subnet, host } = plugged;
  const { link } = host;
  return {
    addresses: [{ link, address: eni.primaryIp, prefixLength: prefixLength(subnet.cidr) }],
    routes: [{ destination: DEFAULT_ROUTE, table: MAIN_TABLE, link, gateway: addressAt(subnet.cidr, 1) }],
  };
}

/** An instance as its machine image brings it up, by name of its namespace. */
export function planInstances(
  state: CloudState,
  prefix: string,
  plugged: readonly PluggedInterface[],
): [string, NamespacePlan][] {
  return Object.keys(state.instances)
    .filter((id) => isUp(state, id))
    .map((id) => {
      const name = instanceNamespaceName(prefix, id);
      const primary = plugged.find(({ host }) => host.namespace === name && host.boots);
      return [name, planMachine(primary)];
    });
}

/** What holds interfaces for an AWS service, by name of its namespace: a machine as any other. */
export function planServices(plugged: readonly PluggedInterface[]): [string, NamespacePlan][] {
  return plugged
    .filter(({ eni }) => eni.holder !== undefined)
    .map((found) => [found.host.namespace, planMachine(found)]);
}

function planMachine(primary: PluggedInterface | undefined): NamespacePlan {
  return {
    ownership: 'boot',
    // A new namespace copies the host's settings. These are the defaults of Amazon Linux 2023.
    sysctls: {
      'net.ipv4.ip_forward': '0',
      'net.ipv4.conf.all.rp_filter': '0',
      'net.ipv4.conf.default.rp_filter': '2',
    },
    ...leaseOf(primary),
    neighbours: [],
    rules: [],
    tables: [],
  };
}
