import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Fields } from '../object.ts';
import { builtInSchema } from '../schema/built-in.ts';
import { ApiError } from '../status.ts';
import { jsonPatch } from './json-patch.ts';
import { mergePatch } from './merge-patch.ts';
import { strategicMergePatch } from './strategic-merge-patch.ts';

const POD = { kind: 'Pod' };
const deployment = builtInSchema('apps', 'v1', 'Deployment');

test('a JSON patch is done as a whole or not at all', () => {
  const object = { metadata: { labels: { a: '1' } }, spec: { list: [1, 2] } };
  const before = structuredClone(object);
  const patched = jsonPatch(
    object,
    [
      { op: 'test', path: '/metadata/labels/a', value: '1' },
      { op: 'add', path: '/metadata/labels/x~1y', value: '2' },
      { op: 'add', path: '/spec/list/-', value: 3 },
      { op: 'remove', path: '/spec/list/0' },
      { op: 'copy', from: '/metadata/labels/a', path: '/spec/copied' },
    ],
    POD,
  );
  assert.deepEqual(patched, {
    metadata: { labels: { a: '1', 'x/y': '2' } },
    spec: { list: [2, 3], copied: '1' },
  });
  assert.deepEqual(object, before);
});

test('a JSON patch that does not fit is refused with the operation and the reason', () => {
  const refused = (operation: unknown): [string, string] => {
    try {
      jsonPatch({ metadata: { labels: {} }, list: [1] }, [operation], POD);
    } catch (error) {
      if (error instanceof ApiError) return [error.reason, error.message];
    }
    return ['nothing', ''];
  };
  const prefix = 'the server rejected our request due to an error in our request: operation 0 on the Pod: ';
  assert.deepEqual(refused({ op: 'test', path: '/metadata/labels', value: 1 }), [
    'Invalid',
    `${prefix}testing value /metadata/labels failed`,
  ]);
  assert.deepEqual(refused({ op: 'replace', path: '/spec/x', value: 1 }), [
    'Invalid',
    `${prefix}replace operation does not apply: doc is missing path: "/spec/x"`,
  ]);
  assert.equal(refused({ op: 'add', path: '/spec/x', value: 1 })[0], 'Invalid');
  assert.equal(refused({ op: 'add', path: '/list/7', value: 1 })[0], 'Invalid');
  assert.equal(refused({ op: 'add', path: '/list/x', value: 1 })[0], 'Invalid');
  assert.equal(refused({ op: 'remove', path: '/list/1' })[0], 'Invalid');
  assert.equal(refused({ op: 'add', path: '/__proto__/polluted', value: 1 })[0], 'Invalid');
  assert.equal(({} as Fields).polluted, undefined);
  assert.equal(refused({ op: 'add', path: 'metadata', value: 1 })[0], 'BadRequest');
  assert.equal(refused({ op: 'add', path: '/a' })[0], 'BadRequest');
  assert.equal(refused({ op: 'sing', path: '/a' })[0], 'BadRequest');
  assert.throws(() => jsonPatch({}, {}, POD), /a JSON patch is a list/);
});

const json = fc.letrec<{ value: unknown; object: Fields }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.integer(),
    fc.string(),
    fc.boolean(),
    fc.array(fc.integer()),
    tie('object'),
  ),
  object: fc.dictionary(fc.constantFrom('a', 'b', 'c', '__proto__'), tie('value'), { noNullPrototype: true }),
})).object;

test('merge patches: nothing changes nothing, twice is once, nulls remove, and RFC 7386 has examples', () => {
  fc.assert(
    fc.property(json, json, (object, patch) => {
      assert.deepEqual(mergePatch(object, {}), object);
      const once = mergePatch(object, patch);
      assert.deepEqual(mergePatch(once, patch), once);
      const removal = Object.fromEntries(Object.keys(object).map((name) => [name, null]));
      assert.deepEqual(mergePatch(object, removal), {});
    }),
  );
  const cases: [unknown, unknown, unknown][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
    [['a', 'b'], { a: 'b', c: null }, { a: 'b' }],
  ];
  for (const [target, patch, result] of cases) assert.deepEqual(mergePatch(target, patch), result);
});

function template(spec: Fields): Fields {
  return { spec: { template: { spec } } };
}

function patchSpec(spec: Fields, patch: Fields): Fields {
  const result = strategicMergePatch(deployment, template(spec), template(patch));
  return ((result.spec as Fields).template as Fields).spec as Fields;
}

test('strategic merge patches merge lists by key, as in the Kubernetes documentation', () => {
  const spec = {
    containers: [{ name: 'nginx', image: 'nginx:1.27', env: [{ name: 'A', value: '1' }] }],
    tolerations: [{ key: 'disktype', effect: 'NoSchedule', value: 'ssd' }],
  };
  const before = structuredClone(spec);
  assert.deepEqual(patchSpec(spec, { containers: [{ name: 'redis', image: 'redis' }] }).containers, [
    { name: 'redis', image: 'redis' },
    ...spec.containers,
  ]);
  const tolerations = [{ key: 'other', effect: 'NoExecute' }];
  assert.deepEqual(patchSpec(spec, { tolerations }).tolerations, tolerations);
  assert.deepEqual(
    patchSpec(spec, { containers: [{ name: 'nginx', env: [{ name: 'B', value: '2' }], image: null }] })
      .containers,
    [
      {
        name: 'nginx',
        env: [
          { name: 'B', value: '2' },
          { name: 'A', value: '1' },
        ],
      },
    ],
  );
  assert.deepEqual(spec, before);
});

test('directives of strategic merge patches', () => {
  const spec = {
    containers: [
      { name: 'a', image: '1' },
      { name: 'b', image: '1' },
      { name: 'c', image: '1' },
    ],
  };
  const names = (patched: Fields): unknown => (patched.containers as Fields[]).map(({ name }) => name);
  assert.deepEqual(names(patchSpec(spec, { containers: [{ name: 'b', $patch: 'delete' }] })), ['a', 'c']);
  assert.deepEqual(names(patchSpec(spec, { containers: [{ $patch: 'replace' }, { name: 'z' }] })), ['z']);
  assert.deepEqual(
    names(
      patchSpec(spec, {
        '$setElementOrder/containers': [{ name: 'c' }, { name: 'd' }, { name: 'a' }],
        containers: [{ name: 'd', image: '2' }],
      }),
    ),
    ['b', 'c', 'd', 'a'],
  );
  assert.deepEqual(
    names(patchSpec(spec, { '$setElementOrder/containers': [{ name: 'c' }, { name: 'a' }, { name: 'b' }] })),
    ['c', 'a', 'b'],
  );
  assert.deepEqual(
    patchSpec({ nodeSelector: { a: '1', b: '2' } }, { nodeSelector: { $patch: 'replace', c: '3' } }),
    {
      nodeSelector: { c: '3' },
    },
  );

  const object = {
    metadata: { finalizers: ['x', 'y'] },
    spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } },
  };
  assert.deepEqual(
    strategicMergePatch(deployment, object, {
      spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } },
    }).spec,
    {
      strategy: { type: 'Recreate' },
    },
  );
  assert.deepEqual(
    strategicMergePatch(deployment, object, {
      metadata: {
        '$deleteFromPrimitiveList/finalizers': ['x'],
        '$setElementOrder/finalizers': ['z', 'y'],
        finalizers: ['z'],
      },
    }).metadata,
    { finalizers: ['z', 'y'] },
  );
  const volumes = [{ name: 'v', emptyDir: {} }];
  assert.deepEqual(
    patchSpec(
      { volumes },
      { volumes: [{ $retainKeys: ['name', 'hostPath'], name: 'v', hostPath: { path: '/' } }] },
    ),
    {
      volumes: [{ name: 'v', hostPath: { path: '/' } }],
    },
  );
  assert.throws(
    () => patchSpec(spec, { containers: [{ image: 'x' }] }),
    /does not contain declared merge key: name/,
  );
  assert.throws(() => patchSpec(spec, { $patch: 'sing' }), /unknown patch type/);
  assert.deepEqual(
    patchSpec(
      {},
      {
        containers: [
          { name: 'a', $patch: 'delete' },
          { name: 'b', env: null },
        ],
      },
    ),
    {
      containers: [{ name: 'b' }],
    },
  );
});
