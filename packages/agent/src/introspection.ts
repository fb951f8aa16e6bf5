/** The state of L-IPAM as JSON, at the paths and in the shapes that Amazon's users ask for. */
import { fromNumber, type Ipv4Cidr, networkOf, prefixLength, toBytes } from '@enid/ip';
import { addressesIn, eniOf, type PoolEni } from '@enid/ipam';
import type { AddressMap } from './address-map.ts';
import { json, type Routes } from './http.ts';
import type { PoolView } from './pool/node-pool.ts';

const time = (milliseconds: number | undefined): string =>
  new Date(milliseconds ?? -62135596800000).toISOString();

/**
 * @param env the environment that the agent was started with.
 * @param map the address map, which Amazon's agent does not have.
 */
export function introspectionRoutes(
  view: () => PoolView,
  env: NodeJS.ProcessEnv,
  map: () => Promise<AddressMap>,
): Routes {
  return {
    '/v1/ips': async () => json(await map()),
    '/v1/enis': () => json(enis(view())),
    '/v1/pods': () => json(pods(view())),
    '/v1/eni-configs': () => json(eniConfigs(view())),
    '/v1/networkutils-env-settings': () => json(settings(env, NETWORK_VARIABLES)),
    '/v1/ipamd-env-settings': () => json(settings(env, POOL_VARIABLES)),
  };
}

function enis({ pool }: PoolView): object {
  const all = pool.enis.flatMap((eni) => eni.slots.flatMap((slot) => [...addressesIn(slot)]));
  return {
    TotalIPs: all.length,
    AssignedIPs: all.filter((address) => pool.allocations.has(address)).length,
    ENIs: Object.fromEntries(pool.enis.map((eni) => [eni.id, eniEntry(pool, eni)])),
  };
}

function eniEntry(pool: PoolView['pool'], eni: PoolEni): object {
  const blocks = eni.slots.map((slot) => {
    const addresses = [...addressesIn(slot)].map((address) => {
      const allocation = pool.allocations.get(address);
      const { network = '', containerId = '', ifName = '' } = allocation?.key ?? {};
      const entry = {
        Address: address,
        IPAMKey: { networkName: network, containerID: containerId, ifName },
        IPAMMetadata: allocation?.metadata ?? {},
        AssignedTime: time(allocation?.since),
        UnassignedTime: time(pool.released.get(address)),
      };
      return [address, entry] as const;
    });
    const cidr = slot.kind === 'prefix' ? slot.cidr : (`${slot.address}/32` as Ipv4Cidr);
    const entry = {
      Cidr: { IP: networkOf(cidr), Mask: maskOf(cidr) },
      IPAddresses: Object.fromEntries(addresses),
      IsPrefix: slot.kind === 'prefix',
      AddressFamily: '4',
    };
    return [cidr, entry] as const;
  });
  return {
    ID: eni.id,
    IsPrimary: eni.primary,
    IsTrunk: false,
    IsEFA: false,
    DeviceNumber: eni.deviceNumber,
    AvailableIPv4Cidrs: Object.fromEntries(blocks),
    IPv6Cidrs: {},
  };
}

/** The mask as Go prints a net.IPMask: in base64. */
function maskOf(cidr: Ipv4Cidr): string {
  const mask = (0xffffffff << (32 - prefixLength(cidr))) >>> 0;
  return Buffer.from(toBytes(fromNumber(mask))).toString('base64');
}

/** The ENIConfig of this node; none without custom networking. */
function eniConfigs({ eniConfig }: PoolView): object {
  if (!eniConfig) return {};
  const { name, subnetId, securityGroups } = eniConfig;
  return { [name]: { securityGroups, subnet: subnetId } };
}

function pods({ pool, enis }: PoolView): object {
  return Object.fromEntries(
    pool.allocations.values().map(({ key, address, metadata }) => {
      const carrier = eniOf(pool, address);
      const { k8sPodName = '', k8sPodNamespace = '' } = metadata;
      const entry = {
        Name: k8sPodName,
        Namespace: k8sPodNamespace,
        ContainerID: key.containerId,
        IP: address,
        ENI: carrier?.id ?? '',
        DeviceNumber: enis.get(carrier?.id ?? '')?.deviceNumber ?? -1,
      };
      return [`${k8sPodName}_${k8sPodNamespace}_${key.containerId}`, entry];
    }),
  );
}

const NETWORK_VARIABLES = [
  'AWS_EXTERNAL_SERVICE_CIDRS',
  'AWS_VPC_CNI_NODE_PORT_SUPPORT',
  'AWS_VPC_ENI_MTU',
  'AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS',
  'AWS_VPC_K8S_CNI_EXTERNALSNAT',
  'AWS_VPC_K8S_CNI_RANDOMIZESNAT',
  'AWS_VPC_K8S_CNI_VETHPREFIX',
  'NETWORK_POLICY_ENFORCING_MODE',
  'POD_MTU',
];
const POOL_VARIABLES = [
  'ADDITIONAL_ENI_TAGS',
  'AWS_MANAGE_ENIS_NON_SCHEDULABLE',
  'AWS_VPC_K8S_CNI_BACKING_STORE',
  'AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG',
  'CLUSTER_NAME',
  'DISABLE_LEAKED_ENI_CLEANUP',
  'DISABLE_NETWORK_RESOURCE_PROVISIONING',
  'ENABLE_IMDS_ONLY_MODE',
  'ENABLE_PREFIX_DELEGATION',
  'ENABLE_SUBNET_DISCOVERY',
  'IP_COOLDOWN_PERIOD',
  'MANAGE_UNTAGGED_ENI',
  'MAX_ENI',
  'MINIMUM_IP_TARGET',
  'WARM_ENI_TARGET',
  'WARM_IP_TARGET',
  'WARM_PREFIX_TARGET',
];

/** Those that are set; the others have their defaults. */
const settings = (env: NodeJS.ProcessEnv, names: readonly string[]): object =>
  Object.fromEntries(names.filter((name) => env[name] !== undefined).map((name) => [name, env[name]]));
