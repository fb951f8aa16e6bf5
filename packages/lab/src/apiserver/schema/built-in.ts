/** Schemas of the kinds that are built in: the client's models with {@link TRAITS}, enums and defaults. */
import { valuesOf } from './enums.ts';
import { type ModelField, modelOfKind, readModel, typeName } from './models.ts';
import type { Schema } from './schema.ts';
import { ATOMIC_TYPES, MAY_BE_EMPTY, TRAITS } from './traits.ts';

const ANY: Schema = { preserveUnknownFields: true };
const schemas = new Map<string, Schema>();
const kinds = new Map<string, Schema>();

/** @throws Error of a kind that the Kubernetes client does not know. */
export function builtInSchema(group: string, version: string, kind: string): Schema {
  const key = `${group}/${version}/${kind}`;
  let schema = kinds.get(key);
  if (!schema) {
    const model = modelOfKind(group, version, kind);
    if (!model)
      throw new Error(`the Kubernetes client has no model of ${kind} (${group || 'core'}/${version})`);
    schema = modelSchema(model);
    kinds.set(key, schema);
  }
  return schema;
}

/** The schema of a model, `V1PodSpec`. There is one of each; its fields are read when they are first asked for. */
export function modelSchema(model: string): Schema {
  let schema = schemas.get(model);
  if (!schema) {
    schema = new ModelSchema(model);
    schemas.set(model, schema);
  }
  return schema;
}

class ModelSchema implements Schema {
  readonly type = 'object';
  readonly model: string;
  readonly mapType: 'granular' | 'atomic';
  #properties: ReadonlyMap<string, Schema> | undefined;
  #required: readonly string[] | undefined;

  constructor(model: string) {
    this.model = model;
    this.mapType = ATOMIC_TYPES.has(typeName(model)) ? 'atomic' : 'granular';
  }

  get properties(): ReadonlyMap<string, Schema> {
    this.#read();
    return this.#properties!;
  }

  get required(): readonly string[] {
    this.#read();
    return this.#required!;
  }

  #read(): void {
    if (this.#properties) return;
    const type = typeName(this.model);
    const fields = readModel(this.model);
    this.#properties = new Map(fields.map((field) => [field.name, fieldSchema(type, field)]));
    this.#required = fields
      .filter(({ name, required }) => required && !MAY_BE_EMPTY.has(`${type}.${name}`))
      .map(({ name }) => name);
  }
}

function fieldSchema(type: string, { name, type: text, format }: ModelField): Schema {
  const base = typeSchema(text, format);
  const values = valuesOf(type, name);
  const traits = TRAITS[type]?.[name];
  if (!values && !traits) return base;
  const limited: Schema = !values
    ? {}
    : base.type === 'array'
      ? { items: { ...base.items, enum: values } }
      : { enum: values };
  if (!base.model) return { ...base, ...limited, ...traits };
  return new FieldSchema(base, traits ?? {});
}

/** A model in a field that has traits of its own. */
class FieldSchema implements Schema {
  readonly #base: Schema;
  readonly type = 'object';
  readonly model: string;
  readonly mapType: 'granular' | 'atomic';
  readonly patchStrategy?: string;

  constructor(base: Schema, traits: Schema) {
    this.#base = base;
    this.model = base.model!;
    this.mapType = traits.mapType ?? base.mapType!;
    if (traits.patchStrategy) this.patchStrategy = traits.patchStrategy;
  }

  get properties(): ReadonlyMap<string, Schema> {
    return this.#base.properties!;
  }

  get required(): readonly string[] {
    return this.#base.required!;
  }
}

function typeSchema(text: string, format: string): Schema {
  const list = /^Array<(.*)>$/.exec(text);
  if (list) return { type: 'array', items: typeSchema(list[1]!, format) };
  const map = /^\{ \[key: string\]: (.*); \}$/.exec(text);
  if (map) return { type: 'object', additionalProperties: typeSchema(map[1]!, format) };
  switch (text) {
    case 'any':
      return ANY;
    case 'boolean':
      return { type: 'boolean' };
    case 'string':
      return format ? { type: 'string', format } : { type: 'string' };
    case 'number':
      return format === 'double'
        ? { type: 'number', format }
        : { type: 'integer', format: format || 'int32' };
    case 'Date':
      return { type: 'string', format: 'date-time' };
    case 'V1MicroTime':
      return { type: 'string', format: 'date-time-micro' };
    case 'IntOrString':
      return { intOrString: true };
    default:
      return modelSchema(text);
  }
}
