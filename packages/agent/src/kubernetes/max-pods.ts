/** Whether the kubelet takes as many pods as the node has addresses for. */

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
    ? `${differ}: the scheduler may send ${kubelet - computed} more than can get one; start the kubelet with --max-pods=${computed}, or set ENABLE_PREFIX_DELEGATION for more addresses`
    : `${differ}: ${computed - kubelet} can never be used; start the kubelet with --max-pods=${computed}, or set MAX_ENI or a lower warm target`;
}
