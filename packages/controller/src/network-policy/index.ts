/**
 * Network policies: what users write, resolved to addresses for the agents. See `network-policies.ts`.
 *
 * How an agent reads the result: the objects with one `policyRef` belong together, in whatever number. `podIsolation` says
 * in which directions the pods in any `podSelectorEndpoints` (and new ones that `podSelector` selects) are closed but for
 * what `ingress` and `egress` of all of them list. A port with a `name` holds only for a pod with the same entry in its
 * `namedPorts`. Of a cluster policy's endpoints that match, the one with the lowest `rule` decides.
 */
export * from './network-policies.ts';
export * from './objects.ts';
export { type Policy, readClusterNetworkPolicy, readNetworkPolicy } from './policy.ts';
export { PolicyState } from './policy-state.ts';
