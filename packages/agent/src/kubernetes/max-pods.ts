/** Whether the kubelet takes as many pods as the node has addresses for. */
import { maxPods } from '@enid/ipam';
import type { PoolView } from '../pool/node-pool.ts';

export type MaxPods = {
  /** What the kubelet was started with. */
  readonly kubelet: number;
  /** What the instance and the mode of the pool give, host-network pods included. */
  readonly computed: number;
  readonly instanceType: string;
};

/** A sentence when the two differ, with the way out. */
export function maxPodsDifference({ kubelet, computed, instanceType }: MaxPods): string | undefined {
  if (kubelet === computed) return undefined;
  const differ = `the kubelet's max-pods is ${kubelet}, but ${instanceType} as it is configured has addresses for ${computed} pods`;
  return kubelet > computed
    ? `${differ}: the scheduler may send ${kubelet - computed} more than can get one; start the kubelet with --max-pods=${computed}, or let the node have more addresses (ENABLE_PREFIX_DELEGATION, MAX_ENI)`
    : `${differ}: ${computed - kubelet} can never be used; start the kubelet with --max-pods=${computed} to use them`;
}

/**
 * What the instance and the mode of its pool give, host-network pods included. ENIs that are others' do not count.
 * @returns undefined where no pod can have an address.
 */
export function maxPodsOf({ pool, bounds, vcpus }: PoolView): number | undefined {
  const limits = { enis: bounds.enis, ipv4PerEni: bounds.slotsPerEni + 1, ...(vcpus && { vcpus }) };
  try {
    return maxPods(limits, {
      prefixDelegation: pool.mode === 'prefix',
      customNetworking: pool.enis.some(({ primary, draining }) => primary && draining === true),
    });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
