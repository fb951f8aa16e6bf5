export * from './simulate.ts';
export * from './workload.ts';
