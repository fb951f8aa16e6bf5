/** Network policies: what users write, resolved to addresses for the agents. See `network-policies.ts`. */
export * from './network-policies.ts';
export * from './objects.ts';
export { type Policy, readClusterNetworkPolicy, readNetworkPolicy } from './policy.ts';
export { PolicyState } from './policy-state.ts';
