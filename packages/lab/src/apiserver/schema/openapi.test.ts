import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'protobufjs';
import type { Fields } from '../object.ts';
import { BUILT_IN } from '../registry/resources.ts';
import { customSchema } from './custom.ts';
import { encodeOpenApiV2 } from './gnostic.ts';
import { openApiV2 } from './openapi-v2.ts';
import { openApiV3 } from './openapi-v3.ts';

const apps = BUILT_IN.filter(({ group }) => group === 'apps');

function at(document: unknown, ...path: (string | number)[]): unknown {
  return path.reduce((value, name) => (value as Fields)[name], document);
}

test('a version 3 document has what apply, explain and validation of kubectl look for', () => {
  const document = openApiV3('apps/v1', apps);
  const schemas = at(document, 'components', 'schemas') as Fields;
  assert.deepEqual(at(schemas, 'io.k8s.api.apps.v1.Deployment', 'x-kubernetes-group-version-kind'), [
    { group: 'apps', version: 'v1', kind: 'Deployment' },
  ]);
  const template = at(schemas, 'io.k8s.api.apps.v1.DeploymentSpec', 'properties', 'template') as Fields;
  assert.deepEqual(template.allOf, [{ $ref: '#/components/schemas/io.k8s.api.core.v1.PodTemplateSpec' }]);
  assert.equal(
    at(schemas, 'io.k8s.api.apps.v1.DeploymentSpec', 'properties', 'strategy', 'x-kubernetes-patch-strategy'),
    'retainKeys',
  );
  const containers = at(schemas, 'io.k8s.api.core.v1.PodSpec', 'properties', 'containers') as Fields;
  assert.equal(containers['x-kubernetes-patch-merge-key'], 'name');
  assert.equal(containers['x-kubernetes-patch-strategy'], 'merge');
  assert.match(String(containers.description), /^List of containers belonging to the pod/);
  const patch = at(
    document,
    'paths',
    '/apis/apps/v1/namespaces/{namespace}/deployments/{name}',
    'patch',
  ) as Fields;
  assert.deepEqual(patch['x-kubernetes-group-version-kind'], {
    group: 'apps',
    version: 'v1',
    kind: 'Deployment',
  });
  assert.ok((patch.parameters as Fields[]).some(({ name }) => name === 'fieldValidation'));
});

test('every reference of both documents leads somewhere', () => {
  const v2 = openApiV2(BUILT_IN);
  const v3 = openApiV3('apps/v1', apps);
  for (const [document, names] of [
    [v2, new Set(Object.keys(v2.definitions as Fields).map((name) => `#/definitions/${name}`))],
    [
      v3,
      new Set(
        Object.keys(at(v3, 'components', 'schemas') as Fields).map((name) => `#/components/schemas/${name}`),
      ),
    ],
  ] as const) {
    const references = JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g);
    const broken = [...references].map(([, to]) => to!).filter((to) => !names.has(to));
    assert.deepEqual(broken, []);
  }
  const names = Object.keys(v2.definitions as Fields);
  assert.ok(
    names.includes('io.k8s.api.core.v1.Toleration') && !names.includes('io.k8s.api.node.v1.Toleration'),
  );
  assert.equal(new Set(names.map((name) => name.toLowerCase())).size, names.length);
});

test('custom resources are described by their definition', () => {
  const schema = customSchema({
    type: 'object',
    properties: {
      spec: {
        type: 'object',
        required: ['size'],
        properties: { size: { type: 'integer', minimum: 1 }, port: { 'x-kubernetes-int-or-string': true } },
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
  const resource = {
    ...apps[0]!,
    group: 'a.example.com',
    version: 'v1',
    kind: 'Widget',
    plural: 'widgets',
    custom,
  };
  const definition = at(
    openApiV3('a.example.com/v1', [resource]),
    'components',
    'schemas',
    'com.example.a.v1.Widget',
  );
  assert.deepEqual(at(definition, 'properties', 'spec'), {
    type: 'object',
    required: ['size'],
    properties: {
      size: { type: 'integer', minimum: 1 },
      port: { 'x-kubernetes-int-or-string': true },
    },
  });
});

test('protobuf says the same as JSON', () => {
  const { root } = parse(
    `syntax = "proto3";
    message Any { string yaml = 2; }
    message NamedAny { string name = 1; Any value = 2; }
    message Items { repeated Schema schema = 1; }
    message Types { repeated string value = 1; }
    message Additional { Schema schema = 1; bool boolean = 2; }
    message NamedSchema { string name = 1; Schema value = 2; }
    message Properties { repeated NamedSchema additional_properties = 1; }
    message Schema {
      string ref = 1; string format = 2; string description = 4; repeated string required = 19; repeated Any enum = 20;
      Additional additional_properties = 21; Types type = 22; Items items = 23; Properties properties = 25;
      repeated NamedAny vendor_extension = 31;
    }
    message Query { string in = 2; string name = 4; string type = 6; }
    message NonBody { Query query = 3; }
    message Parameter { NonBody non_body = 2; }
    message ParametersItem { Parameter parameter = 1; }
    message Operation { string operation_id = 5; repeated ParametersItem parameters = 8; repeated NamedAny vendor_extension = 13; }
    message PathItem { Operation get = 2; Operation patch = 8; }
    message NamedPath { string name = 1; PathItem value = 2; }
    message Paths { repeated NamedPath path = 2; }
    message Document { string swagger = 1; Paths paths = 8; Properties definitions = 9; }`,
  );
  const type = root.lookupType('Document');
  const document = type.toObject(type.decode(encodeOpenApiV2(openApiV2(BUILT_IN))), { arrays: false });
  assert.equal(document.swagger, '2.0');
  const find = (list: Fields[], name: string): Fields =>
    list.find((pair) => pair.name === name)?.value as Fields;
  const definitions = document.definitions.additionalProperties;
  const podSpec = find(definitions, 'io.k8s.api.core.v1.PodSpec');
  const properties = (podSpec.properties as Fields).additionalProperties as Fields[];
  const containers = find(properties, 'containers');
  assert.deepEqual(containers.type, { value: ['array'] });
  assert.deepEqual(containers.items, { schema: [{ ref: '#/definitions/io.k8s.api.core.v1.Container' }] });
  assert.equal(find(containers.vendorExtension as Fields[], 'x-kubernetes-patch-merge-key').yaml, '"name"');
  assert.deepEqual(podSpec.required, ['containers']);
  assert.deepEqual(find(properties, 'nodeSelector').additionalProperties, {
    schema: { type: { value: ['string'] } },
  });
  const path = find(document.paths.path, '/api/v1/namespaces/{namespace}/pods/{name}').patch as Fields;
  assert.ok(
    JSON.stringify(path.parameters).includes(
      '{"parameter":{"nonBody":{"query":{"in":"query","name":"fieldValidation","type":"string"}}}}',
    ),
  );
  const gvk = find(path.vendorExtension as Fields[], 'x-kubernetes-group-version-kind').yaml;
  assert.deepEqual(JSON.parse(gvk as string), { group: '', version: 'v1', kind: 'Pod' });
});
