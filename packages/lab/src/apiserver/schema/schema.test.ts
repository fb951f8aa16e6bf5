import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Fields, KubeObject } from '../object.ts';
import { BUILT_IN } from '../registry/resources.ts';
import { builtInSchema } from './built-in.ts';
import { customSchema } from './custom.ts';
import { applyDefaults } from './defaults.ts';
import { prune } from './prune.ts';
import { canonicalQuantity, compareQuantities, readQuantity } from './quantity.ts';
import type { Schema } from './schema.ts';
import { structuralErrors } from './structural.ts';

const ANY = { group: '', kind: '' };
const pod = builtInSchema('', 'v1', 'Pod');

function defaulted(schema: Schema, object: Fields): Fields {
  const copy = prune(schema, object).object as KubeObject;
  applyDefaults(ANY, schema, copy);
  return copy;
}

test('every resource that is built in has a schema, down to its last field', () => {
  const seen = new Set<Schema>();
  const visit = (schema: Schema): void => {
    if (seen.has(schema)) return;
    seen.add(schema);
    for (const child of schema.properties?.values() ?? []) visit(child);
    if (schema.items) visit(schema.items);
    if (typeof schema.additionalProperties === 'object') visit(schema.additionalProperties);
  };
  for (const { group, version, kind } of BUILT_IN) {
    const schema = builtInSchema(group, version, kind);
    assert.ok(schema.properties?.has('metadata'), kind);
    visit(schema);
  }
  const models = new Set([...seen].map(({ model }) => model));
  assert.ok(models.size > 200, String(models.size));
  assert.notEqual(builtInSchema('', 'v1', 'Event'), builtInSchema('events.k8s.io', 'v1', 'Event'));
});

test('a decoded object has lost what nobody knows, and says so', () => {
  const { object, unknown, mismatch } = prune(pod, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a', labels: { anything: 'x' }, creationTimestamp: null, foo: 1 },
    spec: {
      bar: {},
      nodeName: null,
      containers: [{ name: 'c', imagee: 'x', resources: { limits: { cpu: 0.5 } } }],
    },
  });
  assert.deepEqual(unknown, ['metadata.foo', 'spec.bar', 'spec.containers[0].imagee']);
  assert.equal(mismatch, undefined);
  assert.deepEqual(object, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a', labels: { anything: 'x' } },
    spec: { containers: [{ name: 'c', resources: { limits: { cpu: '500m' } } }] },
  });
});

test('a value of the wrong type is told in the words of Go', () => {
  const mismatch = (spec: unknown): string | undefined => prune(pod, { spec }).mismatch;
  assert.equal(
    mismatch({ containers: 'x' }),
    'json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container',
  );
  assert.equal(
    mismatch({ containers: [{ ports: [{ containerPort: '80' }] }] }),
    'json: cannot unmarshal string into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32',
  );
  assert.equal(
    mismatch({ nodeSelector: { a: true } }),
    'json: cannot unmarshal bool into Go struct field PodSpec.spec.nodeSelector of type string',
  );
  assert.match(mismatch({ overhead: { cpu: '1 core' } })!, /^quantities must match/);
});

test('times are kept in UTC, as exactly as their type', () => {
  const lease = builtInSchema('coordination.k8s.io', 'v1', 'Lease');
  const { object, mismatch } = prune(lease, {
    metadata: { creationTimestamp: '2026-01-01T02:00:00.999+02:00' },
    spec: { renewTime: '2026-01-01T00:00:00.123Z', acquireTime: '2026-01-01T00:00:00Z' },
  });
  assert.equal(mismatch, undefined);
  assert.deepEqual(object, {
    metadata: { creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: { renewTime: '2026-01-01T00:00:00.123000Z', acquireTime: '2026-01-01T00:00:00.000000Z' },
  });
  assert.match(
    prune(lease, { spec: { renewTime: 'now' } }).mismatch!,
    /^parsing time "now" as "2006-01-02T15:04:05Z07:00"/,
  );
});

test('names that every JavaScript object has are fields like others', () => {
  const text =
    '{"metadata":{"labels":{"__proto__":"a","constructor":"b"}},"spec":{"constructor":1,"__proto__":{}}}';
  const { object, unknown } = prune(pod, JSON.parse(text) as Fields);
  assert.equal(
    JSON.stringify(object),
    '{"metadata":{"labels":{"__proto__":"a","constructor":"b"}},"spec":{}}',
  );
  assert.deepEqual(unknown, ['spec.constructor', 'spec.__proto__']);
});

test('a pod gets the defaults of a pod', () => {
  const { spec } = defaulted(pod, {
    spec: {
      serviceAccountName: 'robot',
      containers: [
        {
          name: 'a',
          image: 'registry:5000/nginx',
          ports: [{ containerPort: 80 }],
          resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '100m' } },
          readinessProbe: { httpGet: { port: 80 }, periodSeconds: 3 },
          env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
        },
        { name: 'b', image: 'nginx:1.27' },
        { name: 'c', image: 'nginx@sha256:00' },
      ],
      volumes: [
        { name: 'e' },
        { name: 'h', hostPath: { path: '/' } },
        { name: 'p', projected: { sources: [{ serviceAccountToken: { path: 't' } }] } },
      ],
    },
  }) as { spec: Fields & { containers: Fields[]; volumes: Fields[] } };
  const { containers, volumes, ...rest } = spec;
  assert.deepEqual(rest, {
    serviceAccountName: 'robot',
    serviceAccount: 'robot',
    enableServiceLinks: true,
    dnsPolicy: 'ClusterFirst',
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    securityContext: {},
    schedulerName: 'default-scheduler',
  });
  assert.deepEqual(containers[0], {
    name: 'a',
    image: 'registry:5000/nginx',
    ports: [{ containerPort: 80, protocol: 'TCP' }],
    resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '100m', memory: '1Gi' } },
    readinessProbe: {
      httpGet: { port: 80, path: '/', scheme: 'HTTP' },
      timeoutSeconds: 1,
      periodSeconds: 3,
      successThreshold: 1,
      failureThreshold: 3,
    },
    env: [{ name: 'IP', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'status.podIP' } } }],
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    imagePullPolicy: 'Always',
  });
  assert.deepEqual(
    containers.map((c) => c.imagePullPolicy),
    ['Always', 'IfNotPresent', 'IfNotPresent'],
  );
  assert.deepEqual(volumes, [
    { name: 'e', emptyDir: {} },
    { name: 'h', hostPath: { path: '/', type: '' } },
    {
      name: 'p',
      projected: {
        defaultMode: 420,
        sources: [{ serviceAccountToken: { path: 't', expirationSeconds: 3600 } }],
      },
    },
  ]);
});

test('defaults depend on what is set: strategies, kinds of services, policies', () => {
  const spec = (group: string, version: string, kind: string, given: Fields): Fields =>
    defaulted(builtInSchema(group, version, kind), { kind, spec: given }).spec as Fields;
  assert.deepEqual(spec('apps', 'v1', 'Deployment', {}).strategy, {
    type: 'RollingUpdate',
    rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' },
  });
  assert.deepEqual(spec('apps', 'v1', 'Deployment', { strategy: { type: 'Recreate' } }).strategy, {
    type: 'Recreate',
  });
  assert.deepEqual(spec('', 'v1', 'Service', { type: 'LoadBalancer', ports: [{ port: 80 }] }), {
    type: 'LoadBalancer',
    ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
    sessionAffinity: 'None',
    externalTrafficPolicy: 'Cluster',
    internalTrafficPolicy: 'Cluster',
    allocateLoadBalancerNodePorts: true,
    ipFamilies: ['IPv4'],
    ipFamilyPolicy: 'SingleStack',
  });
  assert.deepEqual(spec('', 'v1', 'Service', { type: 'ExternalName', externalName: 'a.b' }), {
    type: 'ExternalName',
    externalName: 'a.b',
    sessionAffinity: 'None',
  });
  const policy = (given: Fields): unknown =>
    spec('networking.k8s.io', 'v1', 'NetworkPolicy', given).policyTypes;
  assert.deepEqual(policy({}), ['Ingress']);
  assert.deepEqual(policy({ egress: [{}] }), ['Ingress', 'Egress']);
  assert.deepEqual(policy({ policyTypes: ['Egress'] }), ['Egress']);
  assert.equal(spec('batch', 'v1', 'Job', { parallelism: 3 }).completions, undefined);
  assert.equal(spec('batch', 'v1', 'Job', {}).completions, 1);
});

test('defaults of every kind are valid for its schema, and defaulting twice is defaulting once', () => {
  for (const { group, version, kind } of BUILT_IN) {
    const schema = builtInSchema(group, version, kind);
    const once = defaulted(schema, { kind, metadata: {}, spec: {} });
    const again = prune(schema, once);
    assert.deepEqual([again.unknown, again.mismatch], [[], undefined], kind);
    assert.deepEqual(defaulted(schema, once), once, kind);
  }
});

test('a custom resource is pruned and defaulted by its definition', () => {
  const schema = customSchema({
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        properties: {
          size: { type: 'integer', default: 3 },
          mode: { type: 'string', nullable: true, default: 'x' },
          nested: { type: 'object', default: {}, properties: { on: { type: 'boolean', default: true } } },
          free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
          tags: {
            type: 'object',
            additionalProperties: { type: 'object', properties: { a: { default: 1, type: 'integer' } } },
          },
          pod: {
            type: 'object',
            'x-kubernetes-embedded-resource': true,
            properties: { spec: { type: 'object' } },
          },
        },
      },
    },
  });
  const pruned = prune(schema, {
    metadata: { name: 'x', foo: 1 },
    spec: {
      size: null,
      mode: null,
      gone: 1,
      free: { any: [1] },
      tags: { t: { b: 1 } },
      pod: { kind: 'Pod', metadata: { name: 'p' }, spec: { gone: 1 }, more: 1 },
    },
    other: {},
  });
  applyDefaults(ANY, schema, pruned.object as unknown as KubeObject);
  assert.deepEqual(pruned.unknown, [
    'metadata.foo',
    'spec.gone',
    'spec.tags.t.b',
    'spec.pod.spec.gone',
    'spec.pod.more',
    'other',
  ]);
  assert.deepEqual(pruned.object, {
    metadata: { name: 'x' },
    spec: {
      size: 3,
      mode: null,
      nested: { on: true },
      free: { any: [1] },
      tags: { t: { a: 1 } },
      pod: { kind: 'Pod', metadata: { name: 'p' }, spec: {} },
    },
  });
});

test('a definition whose schema is not structural is refused with the place', () => {
  const at = (schema: Fields): string[] =>
    structuralErrors(schema, 's').map(({ field, message }) => `${field}: ${message}`);
  assert.deepEqual(
    at({
      type: 'object',
      properties: {
        a: { 'x-kubernetes-int-or-string': true, anyOf: [{ type: 'integer' }, { type: 'string' }] },
      },
    }),
    [],
  );
  assert.deepEqual(at({}), ['s.type: Required value: must be object at the root']);
  assert.deepEqual(at({ type: 'object', properties: { a: {} } }), [
    's.properties[a].type: Required value: must not be empty for specified object fields',
  ]);
  assert.deepEqual(at({ type: 'object', properties: { a: { type: 'array' } } }), [
    's.properties[a].items: Required value: must be specified',
  ]);
  assert.deepEqual(
    at({ type: 'object', anyOf: [{ type: 'object', required: ['b'] }, { properties: { c: {} } }] }),
    [
      's.anyOf[0].type: Forbidden: must be empty to be structural',
      's.properties[c]: Required value: because it is defined in s.anyOf[1].properties[c]',
    ],
  );
});

test('quantities are written as Kubernetes writes them, and keep their value', () => {
  const cases = {
    '1000m': '1',
    '0.5': '500m',
    '1024Mi': '1Gi',
    '1.5Gi': '1536Mi',
    '1e3': '1e3',
    '1000': '1k',
    '100': '100',
    '.1Ki': '102400m',
    '-0': '0',
    '1500': '1500',
    '2000Ki': '2000Ki',
    '512': '512',
    '0.5Mi': '512Ki',
    '1E': '1E',
    '12e6': '12e6',
  };
  for (const [given, wanted] of Object.entries(cases)) assert.equal(canonicalQuantity(given), wanted, given);
  assert.equal(readQuantity('1 Gi'), undefined);
  assert.equal(compareQuantities('1Gi', '1G'), 1);
  const texts = fc.tuple(
    fc.integer({ min: 0, max: 1e9 }),
    fc.constantFrom('', 'm', 'k', 'Ki', 'Mi', 'u', 'e2', 'G'),
  );
  fc.assert(
    fc.property(texts, ([number, unit]) => {
      const text = `${number}${unit}`;
      const canonical = canonicalQuantity(text);
      assert.equal(readQuantity(canonical)?.nano, readQuantity(text)?.nano);
      assert.equal(canonicalQuantity(canonical), canonical);
    }),
  );
});
