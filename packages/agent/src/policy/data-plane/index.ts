export { DataPlane, type PolicyDataPlane } from './data-plane.ts';
export { PolicyNotHeldError, UnsupportedKernelError } from './errors.ts';
export type * from './types.ts';
