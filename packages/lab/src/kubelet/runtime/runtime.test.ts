import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod, PodSpec } from '@enid/kube';
import { dnsConfigOf, parseResolvConf } from './dns.ts';
import { resourcesOf } from './resources.ts';
import { namespacesOf, securityContextOf } from './security.ts';

const pod = (spec: Partial<PodSpec> = {}): Pod => ({
  metadata: { name: 'p', namespace: 'ns', uid: 'u' },
  spec: { containers: [], ...spec },
});
const GIGABYTE = 2 ** 30;

test('resources are shares, quotas and limits', () => {
  const of = (resources: object) => {
    const container = { name: 'c', resources };
    return resourcesOf(pod({ containers: [container] }), container, 4 * GIGABYTE);
  };
  assert.deepEqual(of({}), { cpuShares: 2, oomScoreAdj: 1000 });
  assert.deepEqual(of({ requests: { cpu: '250m', memory: '1Gi' } }), { cpuShares: 256, oomScoreAdj: 750 });
  // Without a request the limit is one.
  assert.deepEqual(of({ limits: { cpu: '1.5', memory: '100M' } }), {
    cpuShares: 1536,
    cpuPeriod: 100_000,
    cpuQuota: 150_000,
    memoryLimitInBytes: 100_000_000,
    oomScoreAdj: -997,
  });
  assert.equal(of({ limits: { cpu: '1m' } }).cpuQuota, 1000);
});

test('names are looked up as the policy says', () => {
  const host = parseResolvConf('# c\nnameserver 10.0.0.2\nsearch ec2.internal\noptions timeout:2 edns0\n');
  assert.deepEqual(host, {
    servers: ['10.0.0.2'],
    searches: ['ec2.internal'],
    options: ['timeout:2', 'edns0'],
  });
  const of = (spec: Partial<PodSpec>) =>
    dnsConfigOf(pod(spec), host, { servers: ['10.100.0.10'], domain: 'cluster.local' });
  const cluster = {
    servers: ['10.100.0.10'],
    searches: ['ns.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'ec2.internal'],
    options: ['ndots:5'],
  };
  assert.deepEqual(of({ dnsPolicy: 'ClusterFirst' }), cluster);
  assert.deepEqual(of({ dnsPolicy: 'ClusterFirst', hostNetwork: true }), host);
  assert.deepEqual(of({ dnsPolicy: 'ClusterFirstWithHostNet', hostNetwork: true }), cluster);
  assert.deepEqual(of({ dnsPolicy: 'Default' }), host);
  const dnsConfig = {
    nameservers: ['1.1.1.1'],
    options: [{ name: 'ndots', value: '2' }, { name: 'rotate' }],
  };
  assert.deepEqual(of({ dnsPolicy: 'None', dnsConfig }), {
    servers: ['1.1.1.1'],
    searches: [],
    options: ['ndots:2', 'rotate'],
  });
  assert.deepEqual(of({ dnsConfig }).options, ['ndots:2', 'rotate']);
});

test('a container may do what its own context says, then what its pod says', () => {
  const shared = pod({ hostPID: true, securityContext: { runAsUser: 1, runAsGroup: 2, fsGroup: 3 } });
  const of = (securityContext: object, user = 0) =>
    securityContextOf(shared, { name: 'c', securityContext }, namespacesOf(shared), user);
  assert.deepEqual(of({ runAsUser: 9 }).runAsUser, { value: 9 });
  assert.deepEqual(of({}).runAsGroup, { value: 2 });
  assert.deepEqual(of({}).supplementalGroups, [3]);
  assert.equal(of({}).namespaceOptions.pid, 'NODE');
  assert.ok(of({}).maskedPaths.includes('/proc/kcore'));
  assert.deepEqual(of({ privileged: true }).maskedPaths, []);
  // A group alone is no user to the runtime.
  const grouped = pod({ securityContext: { runAsGroup: 5 } });
  assert.deepEqual(securityContextOf(grouped, { name: 'c' }, namespacesOf(grouped), 7).runAsUser, {
    value: 7,
  });
});
