/** What every client of a Kubernetes API server stands on. */
export * from './access.ts';
export * from './api-error.ts';
export * from './apply.ts';
export * from './backoff.ts';
export * from './client.ts';
export * from './clock.ts';
export * from './event-recorder.ts';
export * from './exec.ts';
export * from './informer.ts';
export * from './informers.ts';
export * from './label-selector.ts';
export * from './policy-endpoints.ts';
export * from './quantity.ts';
export * from './wire.ts';
export * from './work-queue.ts';
