/** Schemas of custom resources, from the `openAPIV3Schema` of a CustomResourceDefinition's version. */
import { type Fields, isFields } from '../object.ts';
import { modelSchema } from './built-in.ts';
import { EXTENSIONS, KEYWORDS } from './keywords.ts';
import type { Schema, SchemaType } from './schema.ts';

/** What is told of a custom resource, and shown of it in another way. */
const OF_CUSTOM: readonly (readonly [keyof Schema, string])[] = [
  ...KEYWORDS.map((name) => [name, name] as const),
  ...EXTENSIONS,
  ['description', 'description'],
  ['intOrString', 'x-kubernetes-int-or-string'],
  ['mapType', 'x-kubernetes-map-type'],
];

/** The schema of whole objects: with apiVersion, kind and metadata, whatever the definition says of these. */
export function customSchema(openAPIV3Schema: Fields | undefined): Schema {
  const said = openAPIV3Schema ? convert(openAPIV3Schema) : { custom: true, preserveUnknownFields: true };
  const text: Schema = { type: 'string', custom: true };
  const properties = new Map(said.properties);
  properties.set('apiVersion', text);
  properties.set('kind', text);
  properties.set('metadata', modelSchema('V1ObjectMeta'));
  return { ...said, type: 'object', properties };
}

function convert(json: Fields): Schema {
  const schema: Record<string, unknown> = { custom: true };
  for (const [own, name] of OF_CUSTOM) if (json[name] !== undefined) schema[own] = json[name];
  if (typeof json.type === 'string' && json.type !== '') schema.type = json.type as SchemaType;
  if (isFields(json.properties)) {
    schema.properties = new Map(Object.entries(json.properties).map(([name, child]) => [name, sub(child)]));
  }
  if (isFields(json.additionalProperties)) schema.additionalProperties = convert(json.additionalProperties);
  else if (json.additionalProperties === true) schema.additionalProperties = true;
  if (isFields(json.items)) schema.items = convert(json.items);
  for (const name of ['allOf', 'anyOf', 'oneOf']) {
    if (Array.isArray(json[name])) schema[name] = json[name].map(sub);
  }
  if (isFields(json.not)) schema.not = convert(json.not);
  return schema as Schema;
}

function sub(json: unknown): Schema {
  return convert(isFields(json) ? json : {});
}
