/**
 * The lab: a VPC under emulated AWS APIs, and nodes and pods in it. What needs the AWS SDK, which takes a while to
 * load, is exported by paths of its own: `@enid/lab/up`, `/status`, `/demo`, `/cloud`.
 */

export {
  type Attachment,
  CniError,
  type CniResult,
  CniRuntime,
  type CniRuntimeOptions,
} from './bare/cni-runtime.ts';
export { LabNode } from './bare/node.ts';
export type { Pod } from './bare/pod.ts';
export { LabProcesses } from './base/processes.ts';
export type { Host, LabRecord } from './base/record.ts';
export { until } from './base/until.ts';
export { awsEnvironment } from './lab/aws-environment.ts';
export { claimEmptyLab, claimLab } from './lab/claim.ts';
export { interruptible } from './lab/interruptible.ts';
export { Lab, LabError } from './lab/lab.ts';
