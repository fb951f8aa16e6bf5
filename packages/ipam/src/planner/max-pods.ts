import { type InstanceLimits, type InstanceSpec, instanceLimits } from '../instance-limits.ts';
import { addressesPerSlot } from '../pool.ts';

/** Pods on host addresses that the published figures count for every node: the agent and the service proxy. */
export const HOST_NETWORK_PODS = 2;

/** What changes how many pods a node takes. */
export type MaxPodsOptions = {
  /** Each slot of an ENI holds a /28. */
  readonly prefixDelegation?: boolean;
  /** The primary ENI gives no pod addresses. */
  readonly customNetworking?: boolean;
  /** MAX_ENI: ENIs that the node may have, its primary one included. */
  readonly maxEni?: number;
};

/**
 * Max pods of a node, as Amazon publishes it: ENIs x (addresses per ENI - 1) + 2. 17 for t3.medium. With prefixes no
 * more than Amazon recommends to a node: 110 below 30 CPUs, else 250.
 * @throws {RangeError} for the name of a type that is not in the table, and where the options leave no pod an address.
 */
export function maxPods(
  type: string | (Pick<InstanceLimits, 'enis' | 'ipv4PerEni'> & Partial<InstanceSpec>),
  { prefixDelegation = false, customNetworking = false, maxEni = Infinity }: MaxPodsOptions = {},
): number {
  const limits = typeof type === 'string' ? instanceLimits(type) : type;
  const name = typeof type === 'string' ? type : 'this type';
  if (!limits) throw new RangeError(`the limits of the instance type ${type} are not known`);
  if (prefixDelegation && limits.hypervisor === 'xen') {
    throw new RangeError(
      `${name} takes no prefixes, since only Nitro instances do: leave prefix delegation off, or use a Nitro type`,
    );
  }
  const enis = Math.min(limits.enis, maxEni) - (customNetworking ? 1 : 0);
  if (enis < 1) {
    throw new RangeError(
      `custom networking leaves ${name} no ENI for pods, since the primary one carries none: allow 2 ENIs or more`,
    );
  }
  const slots = enis * (limits.ipv4PerEni - 1);
  if (!prefixDelegation) return slots + HOST_NETWORK_PODS;
  return Math.min(
    slots * addressesPerSlot('prefix') + HOST_NETWORK_PODS,
    (limits.vcpus ?? 0) < 30 ? 110 : 250,
  );
}
