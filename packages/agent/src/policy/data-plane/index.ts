export { DataPlane, type PolicyDataPlane } from './data-plane.ts';
export { PolicyNotHeldError, UnsupportedKernelError } from './errors.ts';
export { EVENTS_PER_SECOND } from './kernel.ts';
export type * from './types.ts';
