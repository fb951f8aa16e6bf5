import { z } from 'zod';

const delay = z.number().int().min(0).max(3_600_000);
const bucket = z.strictObject({ capacity: z.number().min(1), refillPerSecond: z.number().min(0) });

/** How slow and how strict the lab's AWS is. All delays are in milliseconds. */
export const settingsSchema = z.strictObject({
  /** From AttachNetworkInterface to `attached`; detaching takes as long. */
  attachDelayMs: delay,
  /** From RunInstances to `running`; shutting down takes as long. */
  launchDelayMs: delay,
  /** From CreateNatGateway to `available`. */
  natGatewayDelayMs: delay,
  /** From CreateLoadBalancer to `active`. */
  loadBalancerDelayMs: delay,
  /** From DeleteLoadBalancer until its network interfaces are gone. */
  loadBalancerReleaseDelayMs: delay,
  /** From RequestCertificate to `ISSUED`. */
  certificateDelayMs: delay,
  /** How far describing resources of ELBv2 is behind what was done to them. */
  describeLagMs: delay,
  /** How far instance metadata is behind EC2 about secondary interfaces and addresses. */
  metadataLagMs: delay,
  /**
   * Token buckets of the API, one for each operation by its class: `read` for Describe and Get, `readAll` for those
   * without ids, filters or a page size, `write` for the rest. Null switches throttling off.
   */
  throttle: z.strictObject({ read: bucket, readAll: bucket, write: bucket }).nullable(),
});

export type Settings = z.infer<typeof settingsSchema>;

/** No delays, and the rates that AWS gives an account. */
export const DEFAULT_SETTINGS: Settings = {
  attachDelayMs: 0,
  launchDelayMs: 0,
  natGatewayDelayMs: 0,
  loadBalancerDelayMs: 0,
  loadBalancerReleaseDelayMs: 0,
  certificateDelayMs: 0,
  describeLagMs: 0,
  metadataLagMs: 0,
  throttle: {
    read: { capacity: 100, refillPerSecond: 20 },
    readAll: { capacity: 50, refillPerSecond: 10 },
    write: { capacity: 50, refillPerSecond: 5 },
  },
};
