/** What an object of the API may hold: one form for the kinds that are built in and for custom resources. */

export type SchemaType = 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';

/**
 * A structural schema (apiextensions `structural schema`). Without a type it takes any value. Schemas of built-in types
 * may contain themselves: their properties are read when they are first asked for.
 */
export type Schema = {
  readonly type?: SchemaType;
  /** `int32`, `byte`, `date-time`, `quantity` ... */
  readonly format?: string;
  readonly description?: string;
  /** The built-in type that this is, `PodSpec`; undefined in custom resources. */
  readonly model?: string;
  /** Whether it describes a custom resource, whose values are checked rather than decoded. */
  readonly custom?: boolean;

  readonly properties?: ReadonlyMap<string, Schema>;
  /** What a map holds; true: anything. */
  readonly additionalProperties?: Schema | true;
  readonly items?: Schema;
  readonly required?: readonly string[];
  readonly default?: unknown;
  readonly nullable?: boolean;

  /** `x-kubernetes-preserve-unknown-fields`. */
  readonly preserveUnknownFields?: boolean;
  /** `x-kubernetes-int-or-string`. */
  readonly intOrString?: boolean;
  /** `x-kubernetes-embedded-resource`. */
  readonly embeddedResource?: boolean;
  readonly listType?: 'atomic' | 'set' | 'map';
  readonly listMapKeys?: readonly string[];
  readonly mapType?: 'granular' | 'atomic';
  /** How a strategic merge patch treats the field: `merge`, `replace`, `retainKeys`, or two with a comma. */
  readonly patchStrategy?: string;
  readonly patchMergeKey?: string;

  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: boolean;
  readonly exclusiveMaximum?: boolean;
  readonly multipleOf?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  /** Conditions on values; they describe no fields. */
  readonly allOf?: readonly Schema[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly not?: Schema;
};

/** The schema of a field of an object, or of a map's value; undefined: it is not described. */
export function childSchema(schema: Schema | undefined, name: string): Schema | undefined {
  if (!schema) return undefined;
  const property = schema.properties?.get(name);
  if (property) return property;
  return schema.additionalProperties === true ? undefined : schema.additionalProperties;
}

/** How lists are merged: as said, or as strategic merge patches merge them, or else as one value. */
export function listTypeOf(schema: Schema | undefined): 'atomic' | 'set' | 'map' {
  if (schema?.listType) return schema.listType;
  if (!schema?.patchStrategy?.includes('merge')) return 'atomic';
  return schema.patchMergeKey ? 'map' : 'set';
}

/** The fields that tell the items of a list of type map apart. */
export function listKeysOf(schema: Schema): readonly string[] {
  return schema.listMapKeys ?? (schema.patchMergeKey ? [schema.patchMergeKey] : []);
}
