/** The OpenAPI v2 document of all that is served, for clients that do not read v3. */
import type { Fields } from '../object.ts';
import type { Resource } from '../registry/resource.ts';
import { resourcePaths } from './openapi-paths.ts';
import { typeDefinitions } from './openapi-types.ts';

export function openApiV2(resources: readonly Resource[]): Fields {
  return {
    swagger: '2.0',
    info: { title: 'Kubernetes', version: 'v1' },
    paths: resourcePaths(resources, (name, description, type) => ({
      name,
      in: 'query',
      description,
      type,
      uniqueItems: true,
    })),
    definitions: typeDefinitions(resources, 'v2'),
  };
}
