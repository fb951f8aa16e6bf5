/** Paths of resources in OpenAPI documents: kubectl finds kinds and the parameters of writes in them. */
import type { Fields } from '../object.ts';
import type { Resource } from '../registry/resource.ts';

type Parameter = (name: string, description: string, type: string) => Fields;

const ACTIONS: readonly (readonly [verb: string, method: string, action: string, onItem: boolean])[] = [
  ['list', 'get', 'list', false],
  ['create', 'post', 'post', false],
  ['deletecollection', 'delete', 'deletecollection', false],
  ['get', 'get', 'get', true],
  ['update', 'put', 'put', true],
  ['patch', 'patch', 'patch', true],
  ['delete', 'delete', 'delete', true],
];

const WRITES = new Set(['post', 'put', 'patch']);

/** @param parameter writes a parameter of the query as the document's version does. */
export function resourcePaths(resources: readonly Resource[], parameter: Parameter): Fields {
  const writing = [
    parameter('pretty', "If 'true', then the output is pretty printed.", 'string'),
    parameter('dryRun', 'When present, indicates that modifications should not be persisted.', 'string'),
    parameter('fieldManager', 'The name of the actor or entity that is making these changes.', 'string'),
    parameter(
      'fieldValidation',
      'What is done about fields that are unknown: Ignore, Warn or Strict.',
      'string',
    ),
  ];
  const force = parameter(
    'force',
    'Takes over the fields that others own; for apply patches alone.',
    'boolean',
  );
  const paths: Fields = {};
  for (const resource of resources) {
    const { group, version, kind, plural, namespaced } = resource;
    const root = group ? `/apis/${group}/${version}` : `/api/${version}`;
    const collection = `${root}${namespaced ? '/namespaces/{namespace}' : ''}/${plural}`;
    for (const [verb, method, action, onItem] of ACTIONS) {
      if (!resource.verbs.includes(verb)) continue;
      const path = onItem ? `${collection}/{name}` : collection;
      const operations = (paths[path] as Fields | undefined) ?? {};
      paths[path] = operations;
      operations[method] = {
        operationId: `${action}${group}${version}${kind}`,
        parameters: WRITES.has(method) ? (method === 'patch' ? [...writing, force] : writing) : [],
        responses: { 200: { description: 'OK' } },
        'x-kubernetes-action': action,
        'x-kubernetes-group-version-kind': { group, version, kind },
      };
    }
  }
  return paths;
}
