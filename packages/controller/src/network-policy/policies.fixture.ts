/** Random policies for tests, on few names, so that they meet often. */
import type { LabelSelector } from '@enid/kube';
import fc from 'fast-check';
import type { ClusterNetworkPolicy, NetworkPolicy } from './objects.ts';

export const NAMES = ['red', 'blue', 'green'];
export const PORTS = [80, 81, 82, 8080, 65_535];

const values = fc.constantFrom('a', 'b', 'c');
export const labels = fc.dictionary(fc.constantFrom('app', 'tier'), values, { maxKeys: 2 });
export const protocol = fc.constantFrom('TCP', 'TCP', 'TCP', 'UDP', 'SCTP');
export const number = fc.constantFrom(80, 82, ...PORTS);
export const portName = fc.constantFrom('http', 'dns');

const selector: fc.Arbitrary<LabelSelector> = fc.record(
  {
    matchLabels: labels,
    matchExpressions: fc.array(
      fc.oneof(
        fc.record({
          key: fc.constantFrom('app', 'tier'),
          operator: fc.constantFrom('In', 'NotIn'),
          values: fc.uniqueArray(values, { minLength: 1, maxLength: 2 }),
        }),
        fc.record({
          key: fc.constantFrom('app', 'tier'),
          operator: fc.constantFrom('Exists', 'DoesNotExist'),
        }),
      ),
      { maxLength: 1 },
    ),
  },
  { requiredKeys: [] },
);

const numbered = fc.oneof(
  fc.record({ protocol, port: number }),
  fc.record({ protocol, port: fc.constantFrom(80, 81), endPort: fc.constantFrom(81, 82, 9000) }),
  fc.record({ protocol }),
  fc.record({ port: number }),
);
// In one rule names and numbers are not mixed with blocks by the oracle, so a rule has either.
const ports = fc.oneof(
  fc.array(numbered, { maxLength: 3 }),
  fc.array(fc.record({ protocol, port: portName }), { minLength: 1, maxLength: 2 }),
);

export type Block = { readonly cidr: string; readonly except?: readonly string[] };

/** Policies of the namespaces {@link NAMES}, some of whose peers are these blocks. */
export function networkPolicies(blocks: readonly Block[]): fc.Arbitrary<NetworkPolicy> {
  const peer = fc.oneof(
    fc.record({ podSelector: selector }),
    fc.record({ namespaceSelector: selector }),
    fc.record({ namespaceSelector: selector, podSelector: selector }),
    fc.record({ ipBlock: fc.constantFrom(...blocks) }),
  );
  const rule = <K extends string>(peers: K) =>
    fc.record({ ports, [peers]: fc.array(peer, { maxLength: 2 }) }, { requiredKeys: [] });
  return fc.record({
    metadata: fc.record({ name: fc.constant('policy'), namespace: fc.constantFrom(...NAMES) }),
    spec: fc.record(
      {
        podSelector: selector,
        policyTypes: fc.uniqueArray(fc.constantFrom('Ingress', 'Egress')),
        ingress: fc.array(rule('from'), { maxLength: 2 }),
        egress: fc.array(rule('to'), { maxLength: 2 }),
      },
      { requiredKeys: ['podSelector'] },
    ),
  }) as fc.Arbitrary<NetworkPolicy>;
}

/** Cluster policies, some of whose peers are these blocks. */
export function clusterNetworkPolicies(blocks: readonly string[]): fc.Arbitrary<ClusterNetworkPolicy> {
  const pods = fc.oneof(
    fc.record({ namespaces: selector }),
    fc.record({ pods: fc.record({ namespaceSelector: selector, podSelector: selector }) }),
  );
  const peer = fc.oneof(pods, fc.record({ networks: fc.subarray([...blocks], { minLength: 1 }) }));
  const clusterPorts = fc.oneof(
    fc.constant(undefined),
    fc.array(
      fc.oneof(
        fc.record({ portNumber: fc.record({ protocol, port: number }) }),
        fc.record({
          portRange: fc.record({ protocol, start: fc.constant(80), end: fc.constantFrom(81, 9000) }),
        }),
      ),
      { minLength: 1, maxLength: 2 },
    ),
  );
  const action = fc.constantFrom('Accept', 'Deny', 'Pass');
  const some = <T>(each: fc.Arbitrary<T>) => fc.array(each, { minLength: 1, maxLength: 2 });
  // Of what a block names nobody knows the ports' names.
  const named = some(fc.record({ namedPort: portName }));
  const rule = <K extends string>(peers: K) =>
    fc.oneof(
      { weight: 3, arbitrary: fc.record({ action, ports: clusterPorts, [peers]: some(peer) }) },
      { weight: 1, arbitrary: fc.record({ action, ports: named, [peers]: some(pods) }) },
    );
  return fc.record({
    metadata: fc.constant({ name: 'policy' }),
    spec: fc.record({
      tier: fc.constantFrom('Admin', 'Baseline'),
      priority: fc.nat(1000),
      subject: pods,
      ingress: fc.array(rule('from'), { maxLength: 3 }),
      egress: fc.array(rule('to'), { maxLength: 3 }),
    }),
  }) as fc.Arbitrary<ClusterNetworkPolicy>;
}
