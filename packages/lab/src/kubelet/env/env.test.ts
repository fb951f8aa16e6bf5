import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod, Service } from '@enid/kube';
import type { ObjectCache } from '../objects/object-cache.ts';
import { environmentOf } from './environment.ts';
import { expand } from './expand.ts';
import { fieldValue, resourceValue } from './fields.ts';

test('expands as Kubernetes does', () => {
  const lookup = (name: string) => ({ A: 'x', B: '$(A)' })[name];
  const cases = {
    '$(A)-$(A)': 'x-x',
    '$(B)': '$(A)', // not twice
    '$(NONE)': '$(NONE)',
    '$$(A)': '$(A)',
    '$$$(A)': '$x',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: other forms of expansion are left alone.
    '$A ${A} $': '$A ${A} $',
    '$(A': '$(A',
  };
  for (const [text, expected] of Object.entries(cases)) assert.equal(expand(text, lookup), expected, text);
});

test('resources are told in divisors, rounded up, and those of the node where there is no limit', () => {
  const container = { name: 'c', resources: { limits: { cpu: '1500m' }, requests: { memory: '100Mi' } } };
  const node = { memory: '8Gi' };
  assert.equal(resourceValue(container, 'limits.cpu', undefined, node), '2');
  assert.equal(resourceValue(container, 'limits.cpu', '1m', node), '1500');
  assert.equal(resourceValue(container, 'requests.memory', '1Mi', node), '100');
  assert.equal(resourceValue(container, 'limits.memory', '1Gi', node), '8');
  assert.throws(() => resourceValue(container, 'cpu', '1', node), /unsupported container resource: cpu/);
});

const POD: Pod = {
  metadata: { name: 'p', namespace: 'ns', uid: 'u', labels: { b: '2', a: 'say "hi"' } },
  spec: { nodeName: 'n', containers: [] },
};
const ADDRESSES = { podIPs: ['10.0.0.5'], hostIPs: ['10.0.0.1'] };

test('fields of the pod', () => {
  assert.equal(fieldValue(POD, "metadata.labels['b']", ADDRESSES), '2');
  assert.equal(fieldValue(POD, 'metadata.labels', ADDRESSES), 'a="say \\"hi\\""\nb="2"');
  assert.equal(fieldValue(POD, 'status.podIP', ADDRESSES), '10.0.0.5');
  assert.throws(() => fieldValue(POD, 'spec.containers', ADDRESSES), /unsupported fieldPath/);
});

test('later sources win, and a missing one is named', async () => {
  const stored: Record<string, object> = {
    'configmap/conf': { data: { HOST: 'from-map', PORT: '1' } },
    'secret/pass': { data: { WORD: Buffer.from('s3cret').toString('base64') } },
  };
  const objects = {
    get: async (_uid: string, kind: string, _ns: string, name: string) => stored[`${kind}/${name}`],
  } as unknown as ObjectCache;
  const service = (namespace: string, name: string, clusterIP: string): Service => ({
    metadata: { namespace, name },
    spec: { clusterIP, ports: [{ name: 'https', port: 443, protocol: 'TCP' }] },
  });
  const services = () => [
    service('default', 'kubernetes', '10.100.0.1'),
    service('ns', 'my-web', '10.100.0.2'),
    service('other', 'far', '10.100.0.3'),
    service('ns', 'headless', 'None'),
  ];
  const sources = { objects, services, nodeResources: {} };
  const container = {
    name: 'c',
    envFrom: [
      { configMapRef: { name: 'conf' }, prefix: 'C_' },
      { secretRef: { name: 'none', optional: true } },
    ],
    env: [
      { name: 'URL', value: 'https://$(KUBERNETES_SERVICE_HOST):$(C_PORT)/$(WORD)' },
      { name: 'WORD', valueFrom: { secretKeyRef: { name: 'pass', key: 'WORD' } } },
      { name: 'C_HOST', value: 'own' },
      { name: 'SKIPPED', valueFrom: { configMapKeyRef: { name: 'conf', key: 'none', optional: true } } },
    ],
  };
  const env = await environmentOf(POD, container, ADDRESSES, sources);
  assert.equal(env.get('URL'), 'https://10.100.0.1:1/$(WORD)');
  assert.equal(env.get('WORD'), 's3cret');
  assert.equal(env.get('C_HOST'), 'own');
  assert.equal(env.get('MY_WEB_PORT_443_TCP_ADDR'), '10.100.0.2');
  assert.equal(env.get('MY_WEB_SERVICE_PORT_HTTPS'), '443');
  assert.ok(!env.has('SKIPPED') && !env.has('FAR_SERVICE_HOST') && !env.has('HEADLESS_SERVICE_HOST'));

  const unlinked = { ...POD, spec: { ...POD.spec!, enableServiceLinks: false } };
  const few = await environmentOf(unlinked, { name: 'c' }, ADDRESSES, sources);
  assert.ok(few.has('KUBERNETES_SERVICE_HOST') && !few.has('MY_WEB_SERVICE_HOST'));

  const broken = {
    name: 'c',
    env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'no', key: 'k' } } }],
  };
  await assert.rejects(environmentOf(POD, broken, ADDRESSES, sources), {
    reason: 'CreateContainerConfigError',
    message: 'configmap "no" not found',
  });
});
