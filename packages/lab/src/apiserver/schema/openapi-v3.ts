/** The OpenAPI v3 document of a group's version, as far as kubectl reads it: types, and which parameters patches take. */
import type { Fields } from '../object.ts';
import type { Resource } from '../registry/resource.ts';
import { resourcePaths } from './openapi-paths.ts';
import { typeDefinitions } from './openapi-types.ts';

/** @param groupVersion `apps/v1`. */
export function openApiV3(groupVersion: string, resources: readonly Resource[]): Fields {
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: groupVersion },
    paths: resourcePaths(resources, (name, description, type) => ({
      name,
      in: 'query',
      description,
      schema: { type, uniqueItems: true },
    })),
    components: { schemas: typeDefinitions(resources, 'v3') },
  };
}
