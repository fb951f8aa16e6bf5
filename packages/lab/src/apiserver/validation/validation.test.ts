import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Fields, KubeObject } from '../object.ts';
import { joinGroupVersion, type Resource } from '../registry/resource.ts';
import { BUILT_IN } from '../registry/resources.ts';
import { schemaOf } from '../registry/schema-of.ts';
import { customSchema } from '../schema/custom.ts';
import { applyDefaults } from '../schema/defaults.ts';
import { prune } from '../schema/prune.ts';
import type { Cause } from '../status.ts';
import { validateCreate, validateUpdate } from './index.ts';

function resourceOf(kind: string): Resource {
  return BUILT_IN.find((resource) => resource.kind === kind)!;
}

/** An object as it is when it is checked: decoded, with defaults. */
function objectOf(kind: string, body: Fields): KubeObject {
  const resource = resourceOf(kind);
  const given = { apiVersion: joinGroupVersion(resource), kind, metadata: { name: 'x' }, ...body };
  const { object, unknown, mismatch } = prune(schemaOf(resource), given);
  assert.deepEqual([unknown, mismatch], [[], undefined]);
  applyDefaults(resource, schemaOf(resource), object);
  return object;
}

function lines(causes: readonly Cause[]): string[] {
  return causes.map(({ field, message }) => `${field}: ${message}`);
}

function created(kind: string, body: Fields): string[] {
  return lines(validateCreate(resourceOf(kind), objectOf(kind, body)));
}

function updated(kind: string, before: Fields, after: Fields): string[] {
  return lines(validateUpdate(resourceOf(kind), objectOf(kind, after), objectOf(kind, before)));
}

const container = { name: 'a', image: 'nginx' };

function pod(spec: Fields, first: Fields = {}): string[] {
  return created('Pod', { spec: { containers: [{ ...container, ...first }], ...spec } });
}

function deployment(spec: Fields = {}): Fields {
  const labels = { app: 'a' };
  const template = { metadata: { labels }, spec: { containers: [container] } };
  return { spec: { selector: { matchLabels: labels }, template, ...spec } };
}

test('metadata', () => {
  const named = (kind: string, metadata: Fields): string[] => created(kind, { metadata });
  const label = "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
  assert.deepEqual(named('ConfigMap', { name: 'A_b' }), [
    `metadata.name: Invalid value: "A_b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
  ]);
  assert.deepEqual(named('Namespace', { name: 'a.b' }), [
    `metadata.name: Invalid value: "a.b": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is ${label}`,
  ]);
  assert.deepEqual(named('ClusterRole', { name: 'system:node' }), []);
  assert.match(
    named('ConfigMap', { name: 'x', labels: { 'a b': 'c' } })[0]!,
    /^metadata\.labels: Invalid value: "a b": name part must consist/,
  );
  assert.match(
    named('ConfigMap', { name: 'x', labels: { a: '-' } })[0]!,
    /^metadata\.labels: Invalid value: "-": a valid label must be an empty string or/,
  );
  assert.match(
    named('ConfigMap', { name: 'x', labels: { 'a/b/c': '' } })[0]!,
    /a qualified name must consist of .* with an optional DNS subdomain prefix and '\/' \(e\.g\. 'example\.com\/MyName'\)$/,
  );
  assert.deepEqual(named('ConfigMap', { name: 'x', annotations: { big: 'x'.repeat(256 * 1024) } }), [
    'metadata.annotations: Too long: may not be more than 262144 bytes',
  ]);
  assert.deepEqual(named('ConfigMap', { name: 'x', finalizers: ['mine'] }), [
    'metadata.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified',
  ]);
  const owner = { apiVersion: 'v1', kind: 'Pod', name: 'p', uid: '1', controller: true };
  assert.deepEqual(
    named('ConfigMap', { name: 'x', ownerReferences: [owner, { ...owner, kind: 'Node', uid: '' }] }).map(
      (line) => line.slice(0, 66),
    ),
    [
      'metadata.ownerReferences[1].uid: Invalid value: "": must not be empty'.slice(0, 66),
      'metadata.ownerReferences: Invalid value: [{"apiVersion":"v1","kind":"Pod"'.slice(0, 66),
      'metadata.ownerReferences[1].uid: Required value',
    ],
  );
});

test('pods', () => {
  const cases: [wrong: Fields, first: Fields, ...lines: string[]][] = [
    [{}, {}],
    [{ containers: [] }, {}, 'spec.containers: Required value'],
    [{ containers: [{ image: 'a' }] }, {}, 'spec.containers[0].name: Required value'],
    [{ containers: [container, container] }, {}, 'spec.containers[1].name: Duplicate value: "a"'],
    [{}, { image: '' }, 'spec.containers[0].image: Required value'],
    [
      { restartPolicy: 'Sometimes' },
      {},
      'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
    ],
    [
      {},
      { imagePullPolicy: 'x' },
      'spec.containers[0].imagePullPolicy: Unsupported value: "x": supported values: "Always", "IfNotPresent", "Never"',
    ],
    [
      {},
      { ports: [{ containerPort: 70000 }, { containerPort: 1, name: '-a' }] },
      'spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
      'spec.containers[0].ports[1].name: Invalid value: "-a": must not begin or end with a hyphen',
    ],
    [
      { hostNetwork: true },
      { ports: [{ containerPort: 80, hostPort: 81 }] },
      'spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true',
    ],
    [
      {},
      {
        ports: [
          { containerPort: 1, hostPort: 80 },
          { containerPort: 2, hostPort: 80 },
        ],
      },
      'spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//80"',
    ],
    [
      {},
      { resources: { limits: { cpu: '1' }, requests: { cpu: '1500m' } } },
      'spec.containers[0].resources.requests: Invalid value: "1500m": must be less than or equal to cpu limit of 1',
    ],
    [
      {},
      { resources: { limits: { memory: '-1', gpus: '1' } } },
      'spec.containers[0].resources.limits[memory]: Invalid value: "-1": must be greater than or equal to 0',
      'spec.containers[0].resources.limits[gpus]: Invalid value: "gpus": must be a standard resource for containers',
      'spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0',
      'spec.containers[0].resources.requests[gpus]: Invalid value: "gpus": must be a standard resource for containers',
    ],
    [
      {},
      { volumeMounts: [{ name: 'v', mountPath: '/v' }] },
      'spec.containers[0].volumeMounts[0].name: Not found: "v"',
    ],
    [
      { volumes: [{ name: 'v' }, { name: 'v', secret: {}, hostPath: { path: '/a/../b' } }] },
      {
        volumeMounts: [
          { name: 'v', mountPath: '/v' },
          { name: 'v', mountPath: '/v' },
        ],
      },
      'spec.volumes[1].name: Duplicate value: "v"',
      'spec.volumes[1].secret.secretName: Required value',
      'spec.volumes[1].hostPath: Forbidden: may not specify more than 1 volume type',
      'spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/v": must be unique',
    ],
    [
      {},
      {
        env: [
          { name: 'a=b' },
          { name: 'A', value: 'x', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
        ],
      },
      'spec.containers[0].env[0].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than \'=\'',
      'spec.containers[0].env[1].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
    ],
    [
      {},
      { livenessProbe: {}, readinessProbe: { httpGet: { port: 'http_x' } } },
      'spec.containers[0].livenessProbe: Required value: must specify a handler type',
      'spec.containers[0].readinessProbe.httpGet.port: Invalid value: "http_x": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)',
    ],
    [
      { tolerations: [{ key: 'a', operator: 'Exists', value: 'x' }, { tolerationSeconds: 3 }] },
      {},
      'spec.tolerations[0].operator: Invalid value: {"key":"a","operator":"Exists","value":"x"}: value must be empty when `operator` is \'Exists\'',
      'spec.tolerations[1].operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match all values and all keys"',
      'spec.tolerations[1].effect: Invalid value: "": effect must be \'NoExecute\' when `tolerationSeconds` is set',
    ],
    [
      { dnsPolicy: 'None' },
      {},
      'spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None',
    ],
    [
      { initContainers: [{ ...container, name: 'i', livenessProbe: { exec: { command: ['x'] } } }] },
      {},
      'spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always',
    ],
    [
      {
        affinity: {
          podAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [
              { labelSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] } },
            ],
          },
        },
      },
      {},
      'spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value',
      "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
    ],
  ];
  for (const [wrong, first, ...expected] of cases) assert.deepEqual(pod(wrong, first), expected);
});

test('a pod hardly changes', () => {
  const spec = (change: Fields = {}, first: Fields = {}): Fields => ({
    spec: { containers: [{ ...container, ...first }], tolerations: [{ operator: 'Exists' }], ...change },
  });
  assert.deepEqual(updated('Pod', spec(), spec({}, { image: 'other:1', imagePullPolicy: 'Always' })), []);
  assert.deepEqual(updated('Pod', spec(), spec({ activeDeadlineSeconds: 3 })), []);
  assert.deepEqual(
    updated('Pod', spec(), spec({ tolerations: [{ operator: 'Exists' }, { key: 'a', operator: 'Exists' }] })),
    [],
  );
  const [forbidden, ...others] = updated('Pod', spec(), spec({ hostNetwork: true }));
  assert.match(
    forbidden!,
    /^spec: Forbidden: pod updates may not change fields other than `spec\.containers\[\*\]\.image`,/,
  );
  assert.deepEqual(others, []);
  assert.match(
    updated('Pod', spec(), spec({ tolerations: [] }))[0]!,
    /^spec\.tolerations: Forbidden: existing toleration/,
  );
  assert.match(
    updated('Pod', spec(), spec({ nodeName: 'n' }))[0]!,
    /^spec: Forbidden/,
    'only a binding does',
  );
  assert.match(updated('Pod', spec(), spec({}, { command: ['x'] }))[0]!, /^spec: Forbidden/);
});

test('controllers of pods', () => {
  assert.deepEqual(created('Deployment', deployment()), []);
  assert.deepEqual(
    created('Deployment', deployment({ replicas: -1, selector: { matchLabels: { app: 'b' } } })),
    [
      'spec.replicas: Invalid value: -1: must be greater than or equal to 0',
      'spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`',
    ],
  );
  assert.deepEqual(
    created('Deployment', {
      spec: { template: { spec: { containers: [container], restartPolicy: 'Never' } } },
    }),
    [
      'spec.selector: Required value',
      'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ],
  );
  assert.deepEqual(created('Deployment', {}), [
    'spec.selector: Required value',
    'spec.template.spec.containers: Required value',
  ]);
  assert.deepEqual(created('Deployment', deployment({ selector: {} })), [
    'spec.selector: Invalid value: {}: empty selector is invalid for deployment',
  ]);
  assert.deepEqual(
    created('Deployment', deployment({ strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: '0%' } } })),
    ['spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0'],
  );
  const other = deployment({
    selector: { matchLabels: { app: 'b' } },
    template: { metadata: { labels: { app: 'b' } }, spec: { containers: [container] } },
  });
  for (const kind of ['Deployment', 'ReplicaSet', 'DaemonSet']) {
    assert.deepEqual(updated(kind, deployment(), other), [
      'spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable',
    ]);
  }
  assert.match(
    updated('StatefulSet', deployment({ serviceName: 'a' }), deployment({ serviceName: 'b' }))[0]!,
    /^spec: Forbidden: updates to statefulset spec for fields other than 'replicas'/,
  );
  assert.deepEqual(updated('StatefulSet', deployment(), deployment({ replicas: 3 })), []);

  const job = (spec: Fields = {}): Fields => ({
    spec: { template: { spec: { restartPolicy: 'Never', containers: [container] } }, ...spec },
  });
  assert.deepEqual(created('Job', job()), []);
  assert.deepEqual(
    created('Job', {
      spec: { completionMode: 'Indexed', parallelism: 2, template: { spec: { containers: [container] } } },
    }),
    [
      'spec.completions: Required value: when completion mode is Indexed',
      'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ],
  );
  assert.deepEqual(updated('Job', job({ completions: 1 }), job({ completions: 2 })), [
    'spec.completions: Invalid value: 2: field is immutable',
  ]);
});

test('services', () => {
  const service = (spec: Fields): string[] => created('Service', { spec });
  const ports = [{ port: 80 }];
  assert.deepEqual(service({ ports }), []);
  assert.deepEqual(service({}), ['spec.ports: Required value']);
  assert.deepEqual(service({ clusterIP: 'None' }), []);
  assert.deepEqual(service({ ports: [{ port: 80, name: 'a' }, { port: 80 }, { port: 81, name: 'a' }] }), [
    'spec.ports[1].name: Required value',
    'spec.ports[1]: Duplicate value: {"protocol":"TCP","port":80}',
    'spec.ports[2].name: Duplicate value: "a"',
  ]);
  assert.deepEqual(service({ ports: [{ port: 80, nodePort: 30000 }] }), [
    "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
  ]);
  assert.deepEqual(service({ type: 'NodePort', ports: [{ port: 0, nodePort: 80 }] }), [
    'spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive',
    'spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive',
    'spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767',
  ]);
  assert.deepEqual(service({ type: 'ExternalName' }), ['spec.externalName: Required value']);
  assert.deepEqual(service({ type: 'ExternalName', externalName: 'a.b.' }), []);
  assert.deepEqual(service({ ports, type: 'Fancy' }), [
    'spec.type: Unsupported value: "Fancy": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
  ]);
  assert.deepEqual(service({ ports, loadBalancerSourceRanges: ['10.0.0.0/8'], externalIPs: ['127.0.0.1'] }), [
    'spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)',
    "spec.loadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
  ]);
  assert.deepEqual(
    service({
      ports,
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 86401 } },
    }),
    [
      'spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 86401: must be greater than 0 and less than 86400',
    ],
  );
  assert.deepEqual(
    updated(
      'Service',
      { spec: { ports, clusterIP: '10.0.0.1' } },
      { spec: { ports, clusterIP: '10.0.0.2', clusterIPs: ['10.0.0.2'] } },
    ),
    ['spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set'],
  );
});

test('network policies, ingresses, endpoint slices', () => {
  const policy = (from: Fields, port: Fields = { port: 80 }): string[] =>
    created('NetworkPolicy', { spec: { podSelector: {}, ingress: [{ from: [from], ports: [port] }] } });
  const at = 'spec.ingress[0].from[0]';
  assert.deepEqual(policy({ ipBlock: { cidr: '10.0.0.0/8', except: ['10.1.0.0/16'] } }), []);
  assert.deepEqual(policy({ ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/16', '10.0.0.0/8', 'x'] } }), [
    `${at}.ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of \`cidr\``,
    `${at}.ipBlock.except[1]: Invalid value: "10.0.0.0/8": must be a strict subset of \`cidr\``,
    `${at}.ipBlock.except[2]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)`,
  ]);
  assert.deepEqual(policy({}), [`${at}: Required value: must specify a peer`]);
  assert.deepEqual(policy({ podSelector: {}, ipBlock: { cidr: '::/0' } }), [
    `${at}: Forbidden: may not specify both ipBlock and another peer`,
  ]);
  assert.deepEqual(policy({ podSelector: {} }, { port: 'http', endPort: 3 }), [
    'spec.ingress[0].ports[0].port: Invalid value: "http": must be numeric when `endPort` is specified',
  ]);
  assert.deepEqual(policy({ podSelector: {} }, { port: 80, endPort: 3 }), [
    'spec.ingress[0].ports[0].endPort: Invalid value: 3: must be greater than or equal to `port`',
  ]);

  const ingress = (path: Fields): string[] =>
    created('Ingress', { spec: { rules: [{ host: 'a.example.com', http: { paths: [path] } }] } });
  const backend = { service: { name: 'a', port: { number: 80 } } };
  assert.deepEqual(ingress({ path: '/', pathType: 'Prefix', backend }), []);
  assert.deepEqual(ingress({ path: 'x', backend: {} }), [
    'spec.rules[0].http.paths[0].pathType: Required value',
    'spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path',
    'spec.rules[0].http.paths[0].backend: Required value: resource or service backend is required',
  ]);
  assert.deepEqual(created('Ingress', { spec: {} }), [
    'spec: Invalid value: {}: either `defaultBackend` or `rules` must be specified',
  ]);

  const slice = (body: Fields): string[] =>
    created('EndpointSlice', { addressType: 'IPv4', endpoints: [], ...body });
  assert.deepEqual(slice({ endpoints: [{ addresses: ['10.0.0.1'] }], ports: [{ port: 80 }] }), []);
  assert.deepEqual(slice({ addressType: 'x', endpoints: [{ addresses: [] }] }), [
    'addressType: Unsupported value: "x": supported values: "FQDN", "IPv4", "IPv6"',
    'endpoints[0].addresses: Required value',
  ]);
  assert.deepEqual(slice({ endpoints: Array(1001).fill({ addresses: ['10.0.0.1'] }) }), [
    'endpoints: Too many: 1001: must have at most 1000 items',
  ]);
});

test('config maps and secrets', () => {
  assert.match(
    created('ConfigMap', { data: { 'a b': '', '..x': '' } }).join('\n'),
    /^data\[a b\]: Invalid value: "a b": a valid config key must consist of .*\ndata\[\.\.x\]: Invalid value: "\.\.x": must not start with '\.\.'$/,
  );
  assert.deepEqual(created('ConfigMap', { data: { a: 'x'.repeat(1024 * 1024 + 1) } }), [
    ': Too long: may not be more than 1048576 bytes',
  ]);
  assert.deepEqual(
    updated('ConfigMap', { immutable: true, data: { a: '1' } }, { immutable: true, data: { a: '2' } }),
    ['data: Forbidden: field is immutable when `immutable` is set'],
  );
  assert.deepEqual(created('ConfigMap', JSON.parse('{"data":{"__proto__":"a","toString":"b"}}')), []);
  assert.deepEqual(created('Secret', { type: 'kubernetes.io/tls', data: { 'tls.crt': '' } }), [
    'data[tls.key]: Required value',
  ]);
  assert.deepEqual(updated('Secret', {}, { type: 'other' }), [
    'type: Invalid value: "other": field is immutable',
  ]);
});

test('roles and nodes', () => {
  assert.deepEqual(created('Role', { rules: [{ verbs: [], resources: ['pods'] }] }), [
    'rules[0].verbs: Required value',
    'rules[0].apiGroups: Required value: resource rules must supply at least one api group',
  ]);
  const binding = (kind: string): Fields => ({
    roleRef: { kind, name: 'r' },
    subjects: [{ kind: 'User', name: 'u' }],
  });
  assert.deepEqual(created('RoleBinding', binding('ClusterRole')), []);
  assert.deepEqual(created('ClusterRoleBinding', binding('Role')), [
    'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
  ]);
  assert.match(updated('RoleBinding', binding('Role'), binding('ClusterRole'))[0]!, /cannot change roleRef$/);
  assert.deepEqual(
    created('Node', {
      spec: {
        taints: [
          { key: 'a', effect: 'NoSchedule' },
          { key: 'a', effect: 'NoSchedule' },
        ],
      },
    }),
    ['spec.taints[1]: Duplicate value: {"key":"a","effect":"NoSchedule"}'],
  );
});

function definition(version: Fields, names: Fields = {}): Fields {
  return {
    metadata: { name: 'widgets.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'widgets', kind: 'Widget', ...names },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object' } },
          ...version,
        },
      ],
    },
  };
}

test('custom resource definitions', () => {
  assert.deepEqual(created('CustomResourceDefinition', definition({})), []);
  assert.deepEqual(
    created('CustomResourceDefinition', definition({ storage: false, schema: {} }, { plural: 'things' })),
    [
      'metadata.name: Invalid value: "widgets.example.com": must be spec.names.plural+"."+spec.group',
      'spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required',
      'spec.versions: Invalid value: ["v1"]: must have exactly one version marked as storage version',
    ],
  );
  const unstructured = { openAPIV3Schema: { type: 'object', properties: { spec: {} } } };
  assert.deepEqual(created('CustomResourceDefinition', definition({ schema: unstructured })), [
    'spec.versions[0].schema.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields',
  ]);
  assert.deepEqual(created('CustomResourceDefinition', { spec: {} }), [
    'spec.group: Required value',
    'spec.scope: Required value',
    'spec.versions: Required value',
    'spec.names.kind: Required value',
    'spec.names.plural: Required value',
    'metadata.name: Invalid value: "x": must be spec.names.plural+"."+spec.group',
  ]);
});

test('custom resources, by their schema', () => {
  const schema = customSchema({
    type: 'object',
    required: ['spec'],
    properties: {
      spec: {
        type: 'object',
        required: ['size'],
        properties: {
          size: { type: 'integer', minimum: 1, maximum: 5 },
          ratio: { type: 'number', exclusiveMinimum: true, minimum: 0 },
          mode: { type: 'string', enum: ['a', 'b'] },
          name: { type: 'string', pattern: '^[a-z]+$', minLength: 2, maxLength: 4 },
          port: { 'x-kubernetes-int-or-string': true },
          when: { type: 'string', format: 'date-time' },
          maybe: { type: 'string', nullable: true },
          list: {
            type: 'array',
            maxItems: 2,
            'x-kubernetes-list-type': 'map',
            'x-kubernetes-list-map-keys': ['id'],
            items: { type: 'object', required: ['id'], properties: { id: { type: 'string' } } },
          },
          either: {
            type: 'object',
            properties: { a: { type: 'string' }, b: { type: 'string' } },
            oneOf: [{ required: ['a'] }, { required: ['b'] }],
          },
        },
      },
    },
  });
  const schemas = new Map([['v1', schema]]);
  const custom = {
    schema,
    schemas,
    storageVersion: 'v1',
    columns: [],
    selectable: [],
    scale: undefined,
    warning: undefined,
  };
  const resource: Resource = { ...resourceOf('Deployment'), group: 'e.com', kind: 'X', custom };
  const check = (spec: unknown): string[] => {
    const object = {
      apiVersion: 'e.com/v1',
      kind: 'X',
      metadata: { name: 'x' },
      ...(spec !== undefined && { spec }),
    };
    return lines(validateCreate(resource, object as KubeObject));
  };
  assert.deepEqual(
    check({
      size: 3,
      ratio: 0.5,
      mode: 'a',
      name: 'abc',
      port: 'x',
      maybe: null,
      list: [{ id: '1' }],
      either: { a: '' },
    }),
    [],
  );
  assert.deepEqual(check(undefined), ['spec: Required value']);
  assert.deepEqual(check({}), ['spec.size: Required value']);
  assert.deepEqual(check({ size: '3' }), [
    'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"',
  ]);
  assert.deepEqual(check({ size: 0, ratio: 0 }), [
    'spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1',
    'spec.ratio: Invalid value: 0: spec.ratio in body should be greater than 0',
  ]);
  assert.deepEqual(check({ size: 1, mode: 'z', name: 'A', when: 'now', port: true }), [
    'spec.mode: Unsupported value: "z": supported values: "a", "b"',
    'spec.name: Invalid value: "A": spec.name in body should be at least 2 chars long',
    'spec.name: Invalid value: "A": spec.name in body should match \'^[a-z]+$\'',
    'spec.when: Invalid value: "now": spec.when in body must be of type date-time: "now"',
    'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"',
  ]);
  assert.deepEqual(check({ size: 1, list: [{ id: '1' }, { id: '1' }, {}], either: {} }), [
    'spec.list: Too many: 3: must have at most 2 items',
    'spec.list[2].id: Required value',
    'spec.list[1]: Duplicate value: {"id":"1"}',
    'spec.either: Invalid value: {}: spec.either in body must validate one and only one schema (oneOf). Found none valid',
  ]);
});
