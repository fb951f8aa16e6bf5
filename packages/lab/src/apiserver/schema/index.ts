/** What objects of each kind hold: fields, defaults, and the documents that tell clients of them. */
export { builtInSchema } from './built-in.ts';
export { customSchema } from './custom.ts';
export { applyDefaults } from './defaults.ts';
export { encodeOpenApiV2 } from './gnostic.ts';
export { openApiV2 } from './openapi-v2.ts';
export { openApiV3 } from './openapi-v3.ts';
export { prune, structuredCopy } from './prune.ts';
export type { Schema } from './schema.ts';
