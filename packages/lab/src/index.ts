/** The lab: a VPC under emulated AWS APIs, nodes in it, and the demo that shows them at work. */
export { type CheckResult, runDemo } from './demo/demo.ts';
export {
  type Attachment,
  CniError,
  type CniResult,
  CniRuntime,
  type CniRuntimeOptions,
} from './lab/cni-runtime.ts';
export { Lab, LabError, type LabOptions, type Progress } from './lab/lab.ts';
export { type Host, LabNode } from './lab/node.ts';
export type { Pod } from './lab/pod.ts';
export { describeLab, type LabStatus, labStatus } from './lab/status.ts';
export { until } from './lab/until.ts';
export { runWhoami } from './lab/whoami.ts';
export { runLabCloud } from './lab-cloud.ts';
