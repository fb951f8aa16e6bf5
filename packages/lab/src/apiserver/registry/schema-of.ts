import { builtInSchema, type Schema } from '../schema/index.ts';
import type { Resource } from './resource.ts';

/** What an object of a resource may hold. */
export function schemaOf({ group, version, kind, custom }: Resource): Schema {
  return custom?.schema ?? builtInSchema(group, version, kind);
}
