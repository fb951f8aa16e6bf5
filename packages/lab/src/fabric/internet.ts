import { cidrOf, type Ipv4 } from '@enid/ip';
import { type CloudState, PUBLIC_POOL } from '../cloud/state.ts';
import { INTERNET_CLIENT, INTERNET_SERVER } from '../internet/addresses.ts';
import { type Cable, DEFAULT_ROUTE, MAIN_TABLE, type NamespacePlan } from './model.ts';
import { INTERNET_GATEWAY_LINK, internetLinkName, internetNamespaceName, vpcNamespaceName } from './names.ts';
import { ROUTER_SYSCTLS } from './router.ts';

/** The two ends of the cable between a VPC and the internet. No other host is on it, so all VPCs use the same. */
export const VPC_END = { address: '169.254.0.1' as Ipv4, mac: '02:00:a9:fe:00:01' };
export const INTERNET_END = { address: '169.254.0.2' as Ipv4, mac: '02:00:a9:fe:00:02' };

const INTERNET_MTU = 1500;

/** The VPCs that have an internet gateway. */
export function connectedVpcs(state: CloudState): string[] {
  return Object.values(state.internetGateways).flatMap(({ vpcId }) =>
    vpcId && state.vpcs[vpcId] ? [vpcId] : [],
  );
}

/** The public addresses that stand for a private address in a VPC. */
export function translationsOf(state: CloudState, vpcId: string): { private: Ipv4; public: Ipv4 }[] {
  return Object.values(state.networkInterfaces)
    .filter((eni) => eni.vpcId === vpcId)
    .flatMap((eni) =>
      Object.entries(eni.publicIps).map(([address, { publicIp }]) => ({
        private: address as Ipv4,
        public: publicIp,
      })),
    );
}

/** The internet gateway's cable. */
export function internetCable(vpcId: string, prefix: string): Cable {
  return {
    port: {
      namespace: vpcNamespaceName(prefix, vpcId),
      name: INTERNET_GATEWAY_LINK,
      mac: VPC_END.mac,
      sysctls: {},
    },
    plug: {
      namespace: internetNamespaceName(prefix),
      name: internetLinkName(vpcId),
      mac: INTERNET_END.mac,
      naming: 'exact',
      up: true,
    },
    mtu: INTERNET_MTU,
  };
}

/** The internet: two hosts, and a route to each public address that somebody has. */
export function planInternet(state: CloudState): NamespacePlan {
  const vpcs = connectedVpcs(state);
  return {
    ownership: 'whole',
    sysctls: ROUTER_SYSCTLS,
    addresses: [INTERNET_SERVER, INTERNET_CLIENT].map((address) => ({
      link: 'lo',
      address,
      prefixLength: 32,
    })),
    neighbours: vpcs.map((vpcId) => ({ link: internetLinkName(vpcId), ...VPC_END })),
    routes: [
      ...vpcs.flatMap((vpcId) =>
        translationsOf(state, vpcId).map((translation) => ({
          destination: cidrOf(translation.public, 32),
          table: MAIN_TABLE,
          link: internetLinkName(vpcId),
          gateway: VPC_END.address,
          onlink: true,
          prefSource: INTERNET_CLIENT,
        })),
      ),
      { destination: PUBLIC_POOL, table: MAIN_TABLE, blackhole: true },
      { destination: DEFAULT_ROUTE, table: MAIN_TABLE, blackhole: true },
    ],
    rules: [],
    tables: [],
  };
}
