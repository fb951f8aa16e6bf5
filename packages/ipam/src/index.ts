export * from './instance-limits.ts';
