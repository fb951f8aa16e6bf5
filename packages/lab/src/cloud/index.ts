/** The lab's AWS: EC2 on its real protocol, and instance metadata. */
export { type Clock, systemClock } from './clock.ts';
export { Cloud, type CloudOptions } from './cloud.ts';
export type { Credentials } from './credentials.ts';
export type { NetworkFabric } from './fabric.ts';
export type { Fault } from './faults.ts';
export { NODE_EC2_ENDPOINT } from './node-endpoints.ts';
export { DEFAULT_QUOTAS, type Quotas } from './quotas.ts';
export { DEFAULT_SETTINGS, type Settings } from './settings.ts';
export type { CloudState } from './state.ts';
