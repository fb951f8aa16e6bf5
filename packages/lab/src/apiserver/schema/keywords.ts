/** How JSON Schema, as OpenAPI has it, says what {@link Schema} says, both ways. */
import type { Schema } from './schema.ts';

/** What has the same name and the same form in both. */
export const KEYWORDS: readonly (keyof Schema)[] = [
  'format',
  'required',
  'default',
  'nullable',
  'enum',
  'minimum',
  'maximum',
  'exclusiveMinimum',
  'exclusiveMaximum',
  'multipleOf',
  'minLength',
  'maxLength',
  'pattern',
  'minItems',
  'maxItems',
  'uniqueItems',
  'minProperties',
  'maxProperties',
];

/** What has the same form by another name. */
export const EXTENSIONS: readonly (readonly [keyof Schema, string])[] = [
  ['preserveUnknownFields', 'x-kubernetes-preserve-unknown-fields'],
  ['embeddedResource', 'x-kubernetes-embedded-resource'],
  ['listType', 'x-kubernetes-list-type'],
  ['listMapKeys', 'x-kubernetes-list-map-keys'],
];
