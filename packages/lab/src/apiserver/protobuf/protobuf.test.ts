import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Writer } from 'protobufjs';
import { parseObject, readBody } from '../http/body.ts';
import { BUILT_IN } from '../registry/resources.ts';
import { modelSchema } from '../schema/built-in.ts';
import { modelOfKind } from '../schema/models.ts';
import { ApiError } from '../status.ts';
import { decodeProtobuf, PROTOBUF } from './index.ts';
import { fieldsOf, messageOf } from './numbers/index.ts';

/** A message by field numbers: numbers are integers, texts and bytes are themselves, lists are repeated fields. */
type Message = { readonly [number: number]: Value };
type Value = number | boolean | string | Uint8Array | Message | readonly Value[];

function encode(message: Message): Uint8Array {
  const writer = Writer.create();
  const write = (number: number, value: Value): void => {
    if (Array.isArray(value)) for (const item of value) write(number, item);
    else if (typeof value === 'boolean') writer.uint32(number << 3).bool(value);
    else if (typeof value === 'number') writer.uint32(number << 3).int64(value);
    else if (typeof value === 'string') writer.uint32((number << 3) | 2).string(value);
    else
      writer.uint32((number << 3) | 2).bytes(value instanceof Uint8Array ? value : encode(value as Message));
  };
  for (const [number, value] of Object.entries(message)) write(Number(number), value);
  return writer.finish();
}

function body(apiVersion: string, kind: string, object: Message): Buffer {
  const unknown = encode({ 1: { 1: apiVersion, 2: kind }, 2: object, 3: '', 4: '' });
  return Buffer.concat([Buffer.from('k8s\0'), unknown]);
}

/** What Go writes of an `ObjectMeta` that has but a name: texts and structs that are held by value are always there. */
const named = (name: string): Message => ({ 1: name, 2: '', 3: '', 4: '', 5: '', 6: '', 7: 0, 8: {} });
const metadata = (name: string) => ({ name, creationTimestamp: null });

const container: Message = {
  1: 'web',
  2: 'nginx',
  3: ['sh', ''],
  5: '',
  6: [{ 1: '', 2: 0, 3: 80, 4: 'TCP', 5: '' }],
  7: [
    { 1: 'PLAIN', 2: '' },
    { 1: 'KEY', 2: '', 3: { 3: { 1: { 1: 'settings' }, 2: 'key', 3: false } } },
  ],
  8: { 1: [{ 1: 'cpu', 2: { 1: '500m' } }] },
  10: { 1: { 2: { 1: '/health', 2: { 1: 1, 2: 0, 3: 'http' }, 3: '', 4: '' } }, 2: 0, 3: 1 },
  11: { 1: { 3: { 1: { 1: 0, 2: 8080, 3: '' }, 2: '' } } },
  13: '',
  16: false,
  19: [{ 1: '', 2: { 1: { 1: 'all' } } }],
};
const deployment = body('apps/v1', 'Deployment', {
  1: {
    ...named('web'),
    11: [
      { 1: 'app', 2: 'web' },
      { 1: '__proto__', 2: '' },
    ],
  },
  2: {
    1: 0,
    2: { 1: [{ 1: 'app', 2: 'web' }] },
    3: {
      1: named(''),
      2: {
        1: [
          { 1: 'scratch', 2: { 2: { 1: '' } } },
          { 1: 'config', 2: { 19: { 1: { 1: 'settings' }, 3: 0o644 } } },
        ],
        2: [container],
        3: '',
        6: '',
        11: false,
        21: false,
        22: [{ 1: '', 2: 'Exists', 3: '', 4: '', 5: 0 }],
      },
    },
    4: { 1: '', 2: { 1: { 1: 0, 2: 0, 3: '' }, 2: { 1: 1, 2: 0, 3: '25%' } } },
    5: 0,
    7: false,
  },
  3: { 1: 0, 2: 0 },
});

describe('protobuf', () => {
  it('says what the same object says as JSON', () => {
    const decoded = decodeProtobuf(deployment);
    assert.deepEqual(JSON.parse(JSON.stringify(decoded)), {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { ...metadata('web'), labels: JSON.parse('{ "app": "web", "__proto__": "" }') },
      spec: {
        replicas: 0,
        selector: { matchLabels: { app: 'web' } },
        template: {
          metadata: { creationTimestamp: null },
          spec: {
            volumes: [
              { name: 'scratch', emptyDir: {} },
              { name: 'config', configMap: { name: 'settings', defaultMode: 0o644 } },
            ],
            containers: [
              {
                name: 'web',
                image: 'nginx',
                command: ['sh', ''],
                ports: [{ containerPort: 80, protocol: 'TCP' }],
                env: [
                  { name: 'PLAIN' },
                  {
                    name: 'KEY',
                    valueFrom: { configMapKeyRef: { name: 'settings', key: 'key', optional: false } },
                  },
                ],
                resources: { limits: { cpu: '500m' } },
                livenessProbe: { httpGet: { path: '/health', port: 'http' }, timeoutSeconds: 1 },
                readinessProbe: { tcpSocket: { port: 8080 } },
                envFrom: [{ configMapRef: { name: 'all' } }],
              },
            ],
            automountServiceAccountToken: false,
            tolerations: [{ operator: 'Exists', tolerationSeconds: 0 }],
          },
        },
        strategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: '25%' } },
      },
      status: {},
    });
  });

  it('reads times, negative and packed numbers, bytes and raw JSON', () => {
    const lease = body('coordination.k8s.io/v1', 'Lease', {
      1: { ...named('lease'), 8: { 1: -1, 2: 0 }, 9: { 1: 951_782_400, 2: 5 } },
      2: { 1: 'node', 2: 0, 3: { 1: 1_700_000_000, 2: 1_234_567 }, 4: {} },
    });
    assert.deepEqual(decodeProtobuf(lease), {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: {
        name: 'lease',
        creationTimestamp: '1969-12-31T23:59:59Z',
        deletionTimestamp: '2000-02-29T00:00:00Z',
      },
      spec: {
        holderIdentity: 'node',
        leaseDurationSeconds: 0,
        acquireTime: '2023-11-14T22:13:20.001234Z',
        renewTime: null,
      },
    });

    const priority = body('scheduling.k8s.io/v1', 'PriorityClass', { 2: -5, 3: false });
    assert.equal(decodeProtobuf(priority).value, -5);

    // As newer encoders write numbers of a list, and as Go does.
    const policy = (values: Value) =>
      body('batch/v1', 'Job', { 2: { 11: { 1: [{ 1: 'FailJob', 2: { 2: 'In', 3: values } }] } } });
    for (const values of [[3, 300], Buffer.from([3, 0xac, 0x02])]) {
      const job = decodeProtobuf(policy(values));
      const rules = [{ action: 'FailJob', onExitCodes: { operator: 'In', values: [3, 300] } }];
      assert.deepEqual(job.spec, { podFailurePolicy: { rules } });
    }

    const secret = body('v1', 'Secret', {
      2: [{ 1: 'key', 2: Buffer.from([0xff, 0]) }, { 1: 'empty', 2: '' }, { 1: 'unsaid' }],
      3: 'Opaque',
    });
    assert.deepEqual(decodeProtobuf(secret), {
      apiVersion: 'v1',
      kind: 'Secret',
      data: { key: '/wA=', empty: '', unsaid: '' },
      type: 'Opaque',
    });

    const revision = body('apps/v1', 'ControllerRevision', { 2: { 1: '{"a":[0,null]}' }, 3: 0 });
    assert.deepEqual(decodeProtobuf(revision), {
      apiVersion: 'apps/v1',
      kind: 'ControllerRevision',
      data: { a: [0, null] },
      revision: 0,
    });
  });

  it('reads options of any group, reviews and evictions', () => {
    const options = { 1: 0, 2: { 1: 'uid' }, 3: false, 4: 'Foreground', 5: ['All'] };
    const said = {
      gracePeriodSeconds: 0,
      preconditions: { uid: 'uid' },
      orphanDependents: false,
      propagationPolicy: 'Foreground',
      dryRun: ['All'],
    };
    for (const apiVersion of ['v1', 'apps/v1', 'meta.k8s.io/v1']) {
      const decoded = decodeProtobuf(body(apiVersion, 'DeleteOptions', options));
      assert.deepEqual(decoded, { apiVersion, kind: 'DeleteOptions', ...said });
    }
    const eviction = decodeProtobuf(body('policy/v1', 'Eviction', { 1: named('pod'), 2: options }));
    assert.deepEqual(eviction, {
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: metadata('pod'),
      deleteOptions: said,
    });
    const review = body('authorization.k8s.io/v1', 'SubjectAccessReview', {
      2: {
        3: 'jane',
        5: [
          { 1: 'scopes', 2: { 1: ['a', 'b'] } },
          { 1: 'none', 2: {} },
        ],
      },
    });
    assert.deepEqual(decodeProtobuf(review).spec, { user: 'jane', extra: { scopes: ['a', 'b'], none: [] } });
  });

  it('reads definitions of custom resources', () => {
    const text = { 5: 'string' };
    const schema: Message = {
      5: 'object',
      29: [
        { 1: 'one', 2: { 24: { 1: text }, 8: { 1: 'false' }, 20: [{ 1: '"a"' }, { 1: '0' }] } },
        { 1: 'many', 2: { 24: { 2: [text, text] }, 16: 0, 38: true } },
        { 1: 'closed', 2: { 30: { 1: false }, 33: { 1: true, 2: text } } },
      ],
      32: [
        { 1: 'one', 2: { 2: ['many'] } },
        { 1: 'many', 2: { 1: text } },
      ],
    };
    const definition = body('apiextensions.k8s.io/v1', 'CustomResourceDefinition', {
      2: { 1: 'example.com', 7: [{ 1: 'v1', 2: true, 3: false, 4: { 1: schema }, 5: { 1: {} } }] },
    });
    assert.deepEqual(decodeProtobuf(definition).spec, {
      group: 'example.com',
      versions: [
        {
          name: 'v1',
          served: true,
          storage: false,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: {
                one: { items: { type: 'string' }, default: false, enum: ['a', 0] },
                many: {
                  items: [{ type: 'string' }, { type: 'string' }],
                  maxItems: 0,
                  'x-kubernetes-preserve-unknown-fields': true,
                },
                closed: { additionalProperties: false, additionalItems: { type: 'string' } },
              },
              dependencies: { one: ['many'], many: { type: 'string' } },
            },
          },
          subresources: { status: {} },
        },
      ],
    });
  });

  it('leaves out what it does not know', () => {
    const newer = body('v1', 'Namespace', { 2: { 1: ['kubernetes'], 1000: 'new' }, 1001: 7 });
    assert.deepEqual(decodeProtobuf(newer), {
      apiVersion: 'v1',
      kind: 'Namespace',
      spec: { finalizers: ['kubernetes'] },
    });
  });

  it('refuses what it cannot read', () => {
    const refusal = (bytes: Buffer): ApiError => {
      try {
        decodeProtobuf(bytes);
      } catch (error) {
        if (error instanceof ApiError) return error;
        throw error;
      }
      throw new Error('it was read');
    };
    assert.match(refusal(Buffer.from('{"kind":"Pod"}')).message, /does not begin with/);
    assert.match(refusal(Buffer.from('k8s\0')).message, /does not say its apiVersion and kind/);
    // No message, a number for one, text for a number, a time beyond all calendars.
    for (const wrong of [{ 2: 'text' }, { 1: 5 }, { 2: { 4: 'soon' } }, { 1: { 8: { 1: 1e15 } } }]) {
      assert.equal(refusal(body('v1', 'Pod', wrong)).reason, 'BadRequest');
    }
    for (const [apiVersion, kind] of [
      ['example.com/v1', 'Widget'],
      ['v1', 'toString'],
      ['v1', '../V1Pod'],
      ['v2', 'Pod'],
    ]) {
      assert.equal(refusal(body(apiVersion!, kind!, {})).reason, 'UnsupportedMediaType');
    }

    // Schemas within schemas, deeper than any stack.
    const levels: Buffer[] = [];
    for (let depth = 0, length = 0; depth < 100_000; depth++) {
      const head = Writer.create()
        .uint32((28 << 3) | 2)
        .uint32(length)
        .finish();
      levels.push(Buffer.from(head));
      length += head.length;
    }
    const nested = Buffer.concat(levels.reverse());
    const deep = { 2: { 7: [{ 4: { 1: nested } }] } };
    const definition = body('apiextensions.k8s.io/v1', 'CustomResourceDefinition', deep);
    assert.equal(refusal(definition).reason, 'BadRequest');

    // Whatever is cut off or damaged, it is read as something else or refused as a client's fault.
    const start = deployment.indexOf('web');
    const end = deployment.length - encode({ 3: '', 4: '' }).length;
    for (let index = start; index < end; index++) {
      assert.equal(refusal(deployment.subarray(0, index)).code, 400);
      for (const bit of [1, 8, 128]) {
        const damaged = Buffer.from(deployment);
        damaged[index]! ^= bit;
        try {
          decodeProtobuf(damaged);
        } catch (error) {
          assert.ok(error instanceof ApiError && error.code === 400, String(error));
        }
      }
    }
  });

  it('is what a request may hold', async () => {
    const request = (bytes: Buffer, headers: IncomingMessage['headers']) =>
      Object.assign(Readable.from([bytes]), { headers }) as unknown as IncomingMessage;
    const object = decodeProtobuf(deployment);
    for (const [bytes, encoding] of [[deployment], [gzipSync(deployment), 'gzip']] as const) {
      const headers = { 'content-type': PROTOBUF, ...(encoding && { 'content-encoding': encoding }) };
      assert.deepEqual(parseObject(await readBody(request(bytes, headers))), object);
    }
    assert.equal((await readBody(request(Buffer.alloc(0), { 'content-type': PROTOBUF }))).text, '');
  });

  it('knows the numbers of all fields of all kinds', () => {
    const unnumbered: string[] = [];
    const seen = new Set<string>();
    const walk = (model: string): void => {
      if (seen.has(model)) return;
      seen.add(model);
      const properties = modelSchema(model).properties!;
      const left = new Set(properties.keys());
      const read = (message: string): void => {
        const fields = fieldsOf(message);
        assert.ok(fields, `${message} has no numbers`);
        for (const { name, inline } of fields.values()) {
          if (inline) read(inline);
          else assert.ok(left.delete(name), `${model} has no ${name}, or has it twice`);
        }
      };
      read(messageOf(model));
      for (const name of left)
        if (name !== 'kind' && name !== 'apiVersion') unnumbered.push(`${model}.${name}`);
      for (const [name, schema] of properties) {
        if (left.has(name)) continue;
        const values = schema.items ?? schema.additionalProperties ?? schema;
        if (typeof values === 'object' && values.model) walk(values.model);
      }
    };
    for (const { group, version, kind } of BUILT_IN) walk(modelOfKind(group, version, kind)!);
    for (const model of ['V1DeleteOptions', 'V1Eviction', 'V1Scale', 'AuthenticationV1TokenRequest'])
      walk(model);
    assert.ok(seen.size > 250, `only ${seen.size} types were looked at`);
    // Set by the API server and the scheduler alone, or of features that are off.
    assert.deepEqual(unnumbered.sort(), [
      'V1CustomResourceDefinitionCondition.observedGeneration',
      'V1CustomResourceDefinitionStatus.observedGeneration',
      'V1PodSpec.schedulingGroup',
      'V1PodStatus.nodeAllocatableResourceClaimStatuses',
    ]);
  });
});
