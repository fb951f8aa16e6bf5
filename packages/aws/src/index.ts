/** What every caller of an AWS API stands on: the pace that AWS grants. */
export * from './follow-requests.ts';
export * from './throttle.ts';
