import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterPolicyEndpoint, Pod, PolicyEndpoint } from '@enid/kube';
import { NodePolicies } from './node-policies.ts';

const pod = (name: string, labels: Record<string, string> = {}, namespace = 'shop'): Pod => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, labels },
});

/** A part of the policy `web`: with its labels, or as the pods that it names. */
const part = (name: string, spec: Partial<PolicyEndpoint['spec']>): PolicyEndpoint => ({
  apiVersion: 'networking.k8s.aws/v1alpha1',
  kind: 'PolicyEndpoint',
  metadata: { name, namespace: 'shop' },
  spec: { policyRef: { namespace: 'shop', name: 'web' }, podIsolation: ['Ingress'], ...spec },
});
const from = (cidr: string) => ({ ingress: [{ cidr, rule: 0 }] });
const peersOf = (policies: NodePolicies, one: Pod) =>
  policies
    .rulesOf(one)
    .ingress.networkPolicies.flatMap(({ peers }) => peers.map(({ cidr }) => String(cidr)))
    .sort();

test('a policy in parts binds by all that are there, and one that is gone no more', () => {
  const policies = new NodePolicies('standard');
  const web = pod('web', { app: 'web' });
  const podSelector = { matchLabels: { app: 'web' } };
  const [one, two] = [
    part('web-1', { podSelector, ...from('10.0.1.1/32') }),
    part('web-2', { podSelector, ...from('10.0.2.1/32') }),
  ];
  assert.deepEqual(policies.rulesOf(web).ingress.networkPolicies, []);
  policies.setEndpoint(undefined, one);
  policies.setEndpoint(undefined, two);
  assert.deepEqual(peersOf(policies, web), ['10.0.1.1/32', '10.0.2.1/32']);
  assert.deepEqual(policies.policiesOf(web, 'ingress'), [
    { kind: 'NetworkPolicy', namespace: 'shop', name: 'web' },
  ]);
  // It is isolated in the one direction, and only in its namespace.
  assert.deepEqual(policies.rulesOf(web).egress.networkPolicies, []);
  assert.deepEqual(policies.rulesOf(pod('web', { app: 'web' }, 'other')).ingress.networkPolicies, []);
  policies.setEndpoint(one, undefined);
  assert.deepEqual(peersOf(policies, web), ['10.0.2.1/32']);
  policies.setEndpoint(two, undefined);
  assert.deepEqual(policies.rulesOf(web).ingress, policies.unknown.ingress);
});

test('without labels the pods that are named are bound, and no others', () => {
  const policies = new NodePolicies('standard');
  const named = { hostIP: '10.0.1.4', podIP: '10.0.1.9', namespace: 'shop', name: 'web' };
  policies.setEndpoint(undefined, part('web', { podSelectorEndpoints: [named], ...from('10.0.1.1/32') }));
  assert.deepEqual(peersOf(policies, pod('web')), ['10.0.1.1/32']);
  assert.deepEqual(peersOf(policies, pod('other')), []);
  assert.equal(policies.podAt('10.0.1.9'), 'shop/web');
  assert.equal(policies.podAt('10.0.1.8'), undefined);
});

test('the pod that has an address is known as long as some policy names it, and is the one that was named last', () => {
  const policies = new NodePolicies('standard');
  const named = (name: string, podIP: string) => ({ hostIP: '10.0.1.4', podIP, namespace: 'shop', name });
  const names = (policy: string, ...podSelectorEndpoints: ReturnType<typeof named>[]) =>
    part(policy, { podSelectorEndpoints });
  const [web, both] = [
    names('web', named('web', '10.0.1.9')),
    names('both', named('web', '10.0.1.9'), named('db', '10.0.1.8')),
  ];
  policies.setEndpoint(undefined, web);
  policies.setEndpoint(undefined, both);
  policies.setEndpoint(web, undefined);
  assert.deepEqual([policies.podAt('10.0.1.9'), policies.podAt('10.0.1.8')], ['shop/web', 'shop/db']);
  // The addresses go to others.
  const moved = names('both', named('new', '10.0.1.9'));
  policies.setEndpoint(both, moved);
  assert.deepEqual([policies.podAt('10.0.1.9'), policies.podAt('10.0.1.8')], ['shop/new', undefined]);
  policies.setEndpoint(moved, undefined);
  assert.equal(policies.podAt('10.0.1.9'), undefined);
});

test("endpoints without numbers of rules, as Amazon's controller writes them, are rules all the same", () => {
  const policies = new NodePolicies('standard');
  const podSelector = { matchLabels: { app: 'web' } };
  const ports = [{ protocol: 'TCP', port: 80, endPort: 90 }];
  const ingress = [{ cidr: '10.0.1.1' }, { cidr: '0.0.0.0/0', except: ['10.0.0.0/8'], ports }] as never;
  policies.setEndpoint(undefined, part('web', { podSelector, ingress }));
  const [rules] = policies.rulesOf(pod('web', { app: 'web' })).ingress.networkPolicies;
  assert.deepEqual(rules!.peers, [
    { rule: 0, action: 'Accept', cidr: '10.0.1.1/32' },
    {
      ...{ rule: 0, action: 'Accept', cidr: '0.0.0.0/0', except: ['10.0.0.0/8'] },
      ports: [{ protocol: 'TCP', from: 80, to: 90 }],
    },
  ]);
});

test('cluster policies bind by the labels of namespaces, which may change, in tiers', () => {
  const policies = new NodePolicies('standard');
  const cluster = (tier: 'Admin' | 'Baseline'): ClusterPolicyEndpoint => ({
    apiVersion: 'networking.k8s.aws/v1alpha1',
    kind: 'ClusterPolicyEndpoint',
    metadata: { name: tier.toLowerCase() },
    spec: {
      policyRef: { name: tier.toLowerCase() },
      priority: 5,
      tier,
      subject: { namespaces: { matchLabels: { team: 'a' } } },
      ingress: [{ cidr: '10.0.0.0/8', rule: 0, action: 'Deny' }],
    } as ClusterPolicyEndpoint['spec'],
  });
  for (const tier of ['Admin', 'Baseline'] as const) policies.setClusterEndpoint(undefined, cluster(tier));
  const tiers = () => {
    const { admin, baseline } = policies.rulesOf(pod('web')).ingress;
    return [admin.length, baseline.length];
  };
  assert.deepEqual(tiers(), [0, 0], 'of the namespace nothing is known');
  policies.setNamespace('shop', { team: 'a' });
  assert.deepEqual(tiers(), [1, 1]);
  policies.setNamespace('shop', { team: 'b' });
  assert.deepEqual(tiers(), [0, 0]);
});

test('who is bound by nothing is open in standard mode and closed in strict mode', () => {
  for (const [mode, verdict] of [
    ['standard', 'allow'],
    ['strict', 'deny'],
  ] as const) {
    const policies = new NodePolicies(mode);
    for (const rules of [policies.unknown, policies.rulesOf(pod('web'))])
      assert.deepEqual([rules.ingress.default, rules.egress.default], [verdict, verdict]);
  }
});
