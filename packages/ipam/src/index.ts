export * from './instance-limits.ts';
export * from './plan.ts';
export * from './pool.ts';
export * from './reconcile.ts';
export * from './refusal.ts';
export * from './settings.ts';
