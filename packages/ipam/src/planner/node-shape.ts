import { HOST_NETWORK_PODS, type InstanceSpec, maxPods } from '../instance-limits.ts';
import type { Action, Bounds } from '../plan.ts';
import { emptyPool, type Pool, type PoolEni, putEni, type Slot } from '../pool.ts';
import type { PoolSettings } from '../settings.ts';

/** A node as far as its pool is concerned: an instance type under settings. */
export type NodeShape = {
  readonly bounds: Bounds;
  readonly settings: PoolSettings;
  /** Pods that the node takes, those on the host's network not counted. */
  readonly podLimit: number;
};

/**
 * @param type what to call the instance type in errors.
 * @throws {RangeError} when such a node cannot be: prefixes without Nitro, custom networking with one ENI.
 */
export function nodeShape(type: string, spec: InstanceSpec, settings: PoolSettings): NodeShape {
  const { mode, customNetworking, maxEni } = settings;
  try {
    const options = { prefixDelegation: mode === 'prefix', customNetworking, ...(maxEni && { maxEni }) };
    const most = maxPods(spec, options);
    const enis = Math.min(spec.enis, maxEni ?? Infinity);
    const bounds = { enis, slotsPerEni: spec.ipv4PerEni - 1, maxPods: most };
    return { bounds, settings, podLimit: most - HOST_NETWORK_PODS };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new RangeError(error.message.replace('this type', type));
  }
}

/** The pool of a node that has just started: its primary ENI, with nothing on it yet. */
export function freshPool({ settings }: NodeShape, primaryId: string): Pool {
  const { mode, cooldown, customNetworking } = settings;
  return putEni(emptyPool(cooldown, mode), {
    id: primaryId,
    deviceNumber: 0,
    primary: true,
    since: 0,
    leaving: false,
    draining: customNetworking,
    slots: [],
  });
}

/** An ENI that has been attached at the lowest device number that is free. */
export function attachedEni(pool: Pool, id: string, slots: readonly Slot[], now: number): PoolEni {
  const used = new Set(pool.enis.map(({ deviceNumber }) => deviceNumber));
  let deviceNumber = 1;
  while (used.has(deviceNumber)) deviceNumber++;
  return { id, deviceNumber, primary: false, since: now, leaving: false, slots };
}

/** The calls that the agent makes for an action, when EC2 refuses none. */
export function callsFor(action: Action, { settings }: NodeShape): readonly string[] {
  switch (action.kind) {
    case 'assign-addresses':
    case 'assign-prefixes':
      return ['AssignPrivateIpAddresses'];
    case 'unassign-addresses':
    case 'unassign-prefixes':
      return ['UnassignPrivateIpAddresses'];
    case 'attach-eni':
      return [
        'DescribeNetworkInterfaces',
        // An ENIConfig names the subnet.
        ...(settings.customNetworking ? [] : ['DescribeSubnets']),
        'CreateNetworkInterface',
        'AttachNetworkInterface',
        'ModifyNetworkInterfaceAttribute',
      ];
    case 'free-eni':
      return ['DescribeNetworkInterfaces', 'DetachNetworkInterface', 'DeleteNetworkInterface'];
  }
}
