/**
 * The lab: a VPC under emulated AWS APIs, and nodes and pods in it. What needs the AWS SDK, which takes a while to
 * load, is exported by paths of its own: `@enid/lab/up`, `/status`, `/demo`, `/cloud`.
 */

export { claimLab } from './lab/claim.ts';
export {
  type Attachment,
  CniError,
  type CniResult,
  CniRuntime,
  type CniRuntimeOptions,
} from './lab/cni-runtime.ts';
export { interruptible } from './lab/interruptible.ts';
export { Lab, LabError } from './lab/lab.ts';
export { type Host, LabNode } from './lab/node.ts';
export type { Pod } from './lab/pod.ts';
export type { LabRecord } from './lab/record.ts';
export { until } from './lab/until.ts';
