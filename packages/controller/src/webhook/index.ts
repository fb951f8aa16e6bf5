export * from './pod-webhook.ts';
