import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Fields, KubeObject } from '../../object.ts';
import { builtInSchema } from '../../schema/built-in.ts';
import { customSchema } from '../../schema/custom.ts';
import type { Schema } from '../../schema/schema.ts';
import { ApiError } from '../../status.ts';
import { applyPatch, trackUpdate } from './apply.ts';

const schema = builtInSchema('apps', 'v1', 'Deployment');
const kind = { apiVersion: 'apps/v1', kind: 'Deployment' };
const T1 = '2026-01-01T00:00:01Z';
const T2 = '2026-01-01T00:00:02Z';

/** A Deployment as a manager would apply it. */
function deployment(spec: Fields, metadata: Fields = {}): KubeObject {
  return { ...kind, metadata: { name: 'web', ...metadata }, ...(Object.keys(spec).length > 0 && { spec }) };
}

function containersOf(object: KubeObject): Fields[] {
  const { template } = object.spec as { template: { spec: { containers: Fields[] } } };
  return template.spec.containers;
}

function pods(...containers: Fields[]): Fields {
  return { template: { spec: { containers } } };
}

/** Applies, and returns the object with its owners, as it is stored. */
function apply(
  live: KubeObject | undefined,
  applied: KubeObject,
  manager: string,
  { force = false, time = T1, of = schema as Schema | undefined } = {},
): KubeObject {
  const { object, managedFields } = applyPatch({
    schema: of,
    live,
    applied,
    manager,
    force,
    time,
    apiVersion: applied.apiVersion,
  });
  return { ...object, metadata: { ...object.metadata, managedFields } };
}

function update(old: KubeObject | undefined, next: KubeObject, manager: string, time = T1): KubeObject {
  const managedFields = trackUpdate({ schema, old, next, manager, time, apiVersion: 'apps/v1' });
  return { ...next, metadata: { ...next.metadata, managedFields } };
}

function ownedBy(object: KubeObject, manager: string): unknown {
  const entries = (object.metadata.managedFields ?? []) as Fields[];
  return entries.find((entry) => entry.manager === manager)?.fieldsV1;
}

function conflictsOf(run: () => unknown): { message: string; causes: unknown } {
  try {
    run();
  } catch (error) {
    if (error instanceof ApiError && error.reason === 'Conflict') {
      return { message: error.message, causes: error.details?.causes };
    }
    throw error;
  }
  throw new Error('there was no conflict');
}

test('who applies owns what it names, in the form that kubectl shows', () => {
  const applied = deployment(
    {
      replicas: 1,
      selector: { matchLabels: { app: 'web' } },
      ...pods({ name: 'nginx', image: 'nginx', ports: [{ containerPort: 80 }], command: ['x'] }),
    },
    { labels: { app: 'web' }, finalizers: ['a/b'] },
  );
  const [entry] = apply(undefined, applied, 'kubectl').metadata.managedFields as Fields[];
  assert.deepEqual(entry, {
    manager: 'kubectl',
    operation: 'Apply',
    apiVersion: 'apps/v1',
    time: T1,
    fieldsType: 'FieldsV1',
    fieldsV1: {
      'f:metadata': { 'f:finalizers': { 'v:"a/b"': {} }, 'f:labels': { 'f:app': {} } },
      'f:spec': {
        'f:replicas': {},
        'f:selector': {},
        'f:template': {
          'f:spec': {
            'f:containers': {
              'k:{"name":"nginx"}': {
                '.': {},
                'f:command': {},
                'f:image': {},
                'f:name': {},
                'f:ports': { 'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} } },
              },
            },
          },
        },
      },
    },
  });
});

test('a create is owned as the real server tells it: structs are there by themselves, maps and pointers are not', () => {
  const object = deployment(
    {
      selector: { matchLabels: { app: 'web' } },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%' } },
      template: {
        metadata: { labels: { app: 'web' } },
        spec: {
          containers: [{ name: 'a', resources: {}, env: [{ name: 'X', value: '1' }] }],
          securityContext: {},
        },
      },
    },
    { labels: { app: 'web' } },
  );
  assert.deepEqual(ownedBy(update(undefined, object, 'kubectl-create'), 'kubectl-create'), {
    'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } },
    'f:spec': {
      'f:selector': {},
      'f:strategy': { 'f:rollingUpdate': { '.': {}, 'f:maxSurge': {} }, 'f:type': {} },
      'f:template': {
        'f:metadata': { 'f:labels': { '.': {}, 'f:app': {} } },
        'f:spec': {
          'f:containers': {
            'k:{"name":"a"}': {
              '.': {},
              'f:env': { '.': {}, 'k:{"name":"X"}': { '.': {}, 'f:name': {}, 'f:value': {} } },
              'f:name': {},
              'f:resources': {},
            },
          },
          'f:securityContext': {},
        },
      },
    },
  });
});

test("another's field is not changed without force, and the error says whose it is and where", () => {
  const live = update(
    undefined,
    deployment({ replicas: 1, ...pods({ name: 'nginx', image: 'a' }) }),
    'kubectl-client-side-apply',
  );
  assert.deepEqual(
    conflictsOf(() => apply(live, deployment({ replicas: 2 }), 'me')),
    {
      message:
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas',
      causes: [
        {
          reason: 'FieldManagerConflict',
          message: 'conflict with "kubectl-client-side-apply" using apps/v1',
          field: '.spec.replicas',
        },
      ],
    },
  );
  const both = deployment({ replicas: 2, ...pods({ name: 'nginx', image: 'b' }) });
  assert.equal(
    conflictsOf(() => apply(live, both, 'me')).message,
    'Apply failed with 2 conflicts: conflicts with "kubectl-client-side-apply" using apps/v1:\n- .spec.replicas\n- .spec.template.spec.containers[name="nginx"].image',
  );
  const forced = apply(live, both, 'me', { force: true, time: T2 });
  assert.equal(forced.spec?.replicas, 2);
  assert.deepEqual(ownedBy(forced, 'kubectl-client-side-apply'), {
    'f:spec': {
      'f:template': { 'f:spec': { 'f:containers': { 'k:{"name":"nginx"}': { '.': {}, 'f:name': {} } } } },
    },
  });
  const applier = apply(undefined, deployment({ replicas: 1 }), 'you');
  assert.equal(
    conflictsOf(() => apply(applier, deployment({ replicas: 2 }), 'me')).message,
    'Apply failed with 1 conflict: conflict with "you": .spec.replicas',
  );
});

test('the same value may be owned by two, and stays while one of them owns it', () => {
  const one = apply(undefined, deployment({ replicas: 1 }, { labels: { a: '1' } }), 'one');
  const two = apply(one, deployment({ replicas: 1 }), 'two');
  assert.deepEqual(ownedBy(two, 'two'), { 'f:spec': { 'f:replicas': {} } });
  const left = apply(two, deployment({}), 'one');
  assert.equal(left.spec?.replicas, 1);
  assert.equal(left.metadata.labels, undefined);
  assert.equal(left.metadata.name, 'web');
  assert.equal(ownedBy(left, 'one'), undefined);
  assert.equal(apply(left, deployment({}), 'two').spec, undefined);
});

test('what is no more applied goes, with what the server has added to it; what others own in it stays', () => {
  const applied = deployment(
    pods({ name: 'a', image: '1' }, { name: 'b', image: '1', env: [{ name: 'X', value: '1' }] }),
  );
  const live = apply(undefined, applied, 'me');
  // Defaults, owned by nobody.
  for (const container of containersOf(live)) container.imagePullPolicy = 'Always';
  const only = deployment(pods({ name: 'a', image: '1' }));
  assert.deepEqual(containersOf(apply(live, only, 'me')), [
    { name: 'a', image: '1', imagePullPolicy: 'Always' },
  ]);
  const shared = apply(live, deployment(pods({ name: 'b', image: '1' })), 'you');
  assert.deepEqual(containersOf(apply(shared, only, 'me'))[1], {
    name: 'b',
    image: '1',
    imagePullPolicy: 'Always',
  });
});

test('items of lists keep the order that is applied, around those of others', () => {
  const live = apply(undefined, deployment(pods({ name: 'a' }, { name: 'x' }, { name: 'b' })), 'one');
  const next = apply(live, deployment(pods({ name: 'b' }, { name: 'n' }, { name: 'a' })), 'two');
  const containers = containersOf(next);
  assert.deepEqual(
    containers.map(({ name }) => name),
    ['b', 'n', 'a', 'x'],
  );
});

test('lists that are ambiguous are refused', () => {
  assert.throws(
    () => apply(undefined, deployment(pods({ name: 'a' }, { name: 'a' })), 'me'),
    /\.spec\.template\.spec\.containers: duplicate entries for key \{"name":"a"\}/,
  );
  assert.throws(
    () => apply(undefined, deployment(pods({ image: 'a' })), 'me'),
    /containers: element 0: associative list with keys has an element that omits key field "name"/,
  );
});

test('an update takes what it changes, and an unchanged object keeps its times', () => {
  const live = apply(undefined, deployment({ replicas: 1, paused: true }), 'applier');
  const scaled = update(live, { ...live, spec: { replicas: 5, paused: true } }, 'scaler', T2);
  assert.deepEqual(ownedBy(scaled, 'applier'), { 'f:spec': { 'f:paused': {} } });
  assert.deepEqual(ownedBy(scaled, 'scaler'), { 'f:spec': { 'f:replicas': {} } });
  const again = update(scaled, structuredClone(scaled), 'scaler', '2030-01-01T00:00:00Z');
  assert.deepEqual(again, scaled);
  const { replicas, ...rest } = scaled.spec!;
  const removed = update(scaled, { ...scaled, spec: rest }, 'third', T2);
  assert.equal(ownedBy(removed, 'scaler'), undefined);
  const reset = update(scaled, { ...scaled, metadata: { ...scaled.metadata, managedFields: [{}] } }, 'x');
  assert.deepEqual(reset.metadata.managedFields, []);
});

test('an object whose owners are not known belongs to someone when it is first applied', () => {
  const live = { ...deployment({ replicas: 1 }), metadata: { name: 'web', uid: 'u', labels: { a: '1' } } };
  assert.match(
    conflictsOf(() => apply(live, deployment({ replicas: 2 }), 'me')).message,
    /"before-first-apply" using apps\/v1: \.spec\.replicas$/,
  );
  const applied = apply(live, deployment({ replicas: 1 }), 'me');
  assert.equal(applied.metadata.uid, 'u');
  assert.deepEqual(applied.metadata.labels, { a: '1' });
});

test('status and the rest are written apart', () => {
  const resource = { subresources: ['status'] };
  const live = update(undefined, { ...deployment({ replicas: 1 }), status: { replicas: 1 } }, 'controller');
  const common = { schema, resource, live, manager: 'me', force: false, time: T2, apiVersion: 'apps/v1' };
  const applied = { ...deployment({ replicas: 1 }), status: { replicas: 9 } };
  assert.deepEqual(applyPatch({ ...common, applied }).object.status, { replicas: 1 });
  const status = applyPatch({ ...common, applied, force: true, subresource: 'status' });
  assert.deepEqual(status.object.status, { replicas: 9 });
  assert.deepEqual(
    status.managedFields.map(({ manager, subresource, fieldsV1 }) => [manager, subresource, fieldsV1]),
    [
      ['me', 'status', { 'f:status': { 'f:replicas': {} } }],
      ['controller', undefined, { 'f:spec': { 'f:replicas': {} } }],
    ],
  );
});

test('custom resources: by their definition, and what is preserved by what it seems', () => {
  const custom = customSchema({
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        'x-kubernetes-preserve-unknown-fields': true,
        properties: {
          rules: {
            type: 'array',
            'x-kubernetes-list-type': 'map',
            'x-kubernetes-list-map-keys': ['name'],
            items: { type: 'object', properties: { name: { type: 'string' }, port: { type: 'integer' } } },
          },
          whole: {
            type: 'object',
            'x-kubernetes-map-type': 'atomic',
            additionalProperties: { type: 'string' },
          },
        },
      },
    },
  });
  const object = {
    apiVersion: 'a/v1',
    kind: 'X',
    metadata: { name: 'x' },
    spec: { rules: [{ name: 'r', port: 1 }], whole: { a: 'b' }, free: { deep: { list: [1] } } },
  };
  assert.deepEqual(ownedBy(apply(undefined, object, 'me', { of: custom }), 'me'), {
    'f:spec': {
      'f:free': { '.': {}, 'f:deep': { '.': {}, 'f:list': {} } },
      'f:rules': { 'k:{"name":"r"}': { '.': {}, 'f:name': {}, 'f:port': {} } },
      'f:whole': {},
    },
  });
  assert.deepEqual(
    ownedBy(
      apply(undefined, { apiVersion: 'a/v1', kind: 'X', metadata: { name: 'x' }, list: [{ a: 1 }] }, 'me', {
        of: undefined,
      }),
      'me',
    ),
    { 'f:list': {} },
  );
});

const names = fc.constantFrom('a', 'b', 'c');
const env = fc.uniqueArray(fc.record({ name: names, value: names }, { noNullPrototype: true }), {
  selector: ({ name }) => name,
});
const containers = fc.uniqueArray(
  fc.record(
    { name: names, image: names, env, command: fc.array(names) },
    { requiredKeys: ['name'], noNullPrototype: true },
  ),
  { selector: ({ name }) => name },
);
const labels = fc.dictionary(names, names, { noNullPrototype: true });
const spec = fc.record(
  {
    replicas: fc.integer({ min: 0, max: 2 }),
    selector: fc.record({ matchLabels: labels }, { noNullPrototype: true }),
    list: containers,
  },
  { requiredKeys: [], noNullPrototype: true },
);
const intents = fc
  .tuple(spec, labels)
  .map(([{ list, ...rest }, map]) => deployment({ ...rest, ...(list && pods(...list)) }, { labels: map }));

test('applying twice is applying once', () => {
  fc.assert(
    fc.property(intents, intents, (first, second) => {
      const live = apply(apply(undefined, first, 'me'), second, 'me');
      const again = apply(live, second, 'me', { time: T2 });
      assert.deepEqual(again, live);
    }),
  );
});

test('a sole manager gets what it applies, whatever it applied before', () => {
  fc.assert(
    fc.property(intents, intents, (first, second) => {
      const direct = apply(undefined, second, 'me');
      const changed = apply(apply(undefined, first, 'me'), second, 'me');
      assert.deepEqual(ownedBy(changed, 'me'), ownedBy(direct, 'me'));
      assert.equal(changed.spec?.replicas, direct.spec?.replicas);
      assert.deepEqual(changed.metadata.labels ?? {}, direct.metadata.labels ?? {});
    }),
  );
});

test('managers of different fields never conflict, in whatever order they come', () => {
  const mine = intents.map((object) => ({ ...object, metadata: { name: 'web' } }));
  const theirs = labels.map((map) => deployment({}, { annotations: map }));
  fc.assert(
    fc.property(mine, theirs, (a, b) => {
      const ab = apply(apply(undefined, a, 'a'), b, 'b');
      const ba = apply(apply(undefined, b, 'b'), a, 'a');
      assert.deepEqual(ab, ba);
    }),
  );
});

test('whoever changes a value is found to own it, and nobody else', () => {
  fc.assert(
    fc.property(intents, intents, (first, second) => {
      const created = update(undefined, first, 'creator');
      const changed = update(
        created,
        { ...second, metadata: { ...second.metadata, managedFields: created.metadata.managedFields! } },
        'changer',
      );
      const forced = apply(changed, second, 'third', { force: true });
      // The third applied what is there: it took nothing from the others.
      assert.deepEqual(ownedBy(forced, 'changer'), ownedBy(changed, 'changer'));
      assert.deepEqual(ownedBy(forced, 'creator'), ownedBy(changed, 'creator'));
    }),
  );
});
