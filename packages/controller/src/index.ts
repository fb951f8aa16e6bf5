/** The controllers of a cluster. */
export * from './leader-election/leader-election.ts';
export * from './network-policy/index.ts';
export { runController, startController } from './run.ts';
export * from './webhook/index.ts';
