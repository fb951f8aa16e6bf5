/** The types of resources as definitions of an OpenAPI document. */
import type { Fields } from '../object.ts';
import type { Resource } from '../registry/resource.ts';
import { builtInSchema, modelSchema } from './built-in.ts';
import { EXTENSIONS, KEYWORDS } from './keywords.ts';
import { describeModel, typeName } from './models.ts';
import type { Schema } from './schema.ts';

type Version = 'v2' | 'v3';

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const QUANTITY = 'io.k8s.apimachinery.pkg.api.resource.Quantity';
const INT_OR_STRING = 'io.k8s.apimachinery.pkg.util.intstr.IntOrString';

/** Types of no group in particular. */
const META_TYPES =
  /^V\d(?:ObjectMeta|ListMeta|ManagedFieldsEntry|OwnerReference|LabelSelector(?:Requirement)?|FieldSelectorRequirement|Condition|Status(?:Details|Cause)?|DeleteOptions|Preconditions|APIResource|GroupVersionForDiscovery)$/;

/** Go packages of groups, where they are not `io.k8s.api.GROUP`. */
const PACKAGES: Readonly<Record<string, string>> = {
  '': 'io.k8s.api.core',
  'apiextensions.k8s.io': 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions',
};

/** Core's types that only other groups use. */
const CORE = new Set([
  'PodTemplateSpec',
  'TopologySelectorTerm',
  'TopologySelectorLabelRequirement',
  'Toleration',
]);
const CORE_ROOTS = ['V1Pod', 'V1PersistentVolumeClaim', 'V1Service'];
const SHOWN = [
  ...EXTENSIONS,
  ['patchStrategy', 'x-kubernetes-patch-strategy'],
  ['patchMergeKey', 'x-kubernetes-patch-merge-key'],
] as const;

let coreModels: Set<string> | undefined;

/** Definitions of resources' kinds and of all that they are made of, by Go's names. */
export function typeDefinitions(resources: readonly Resource[], version: Version): Fields {
  return new Definitions(version).of(resources);
}

class Definitions {
  readonly #version: Version;
  readonly #definitions: Fields = {};

  constructor(version: Version) {
    this.#version = version;
  }

  of(resources: readonly Resource[]): Fields {
    // Core first: its types are used by others.
    const ordered = resources.toSorted((a, b) => Number(a.group !== '') - Number(b.group !== ''));
    for (const { group, version, kind, custom } of ordered) {
      const schema = custom?.schema ?? builtInSchema(group, version, kind);
      const home = packageOf(group, version);
      const name = custom
        ? `${group.split('.').reverse().join('.')}.${version}.${kind}`
        : definitionName(schema.model!, home);
      this.#define(name, schema, home);
      const definition = this.#definitions[name] as Fields;
      definition['x-kubernetes-group-version-kind'] = [{ group, version, kind }];
    }
    this.#definitions[QUANTITY] = this.#either(
      'string',
      'number',
      undefined,
      'Quantity is a number with a unit.',
    );
    this.#definitions[INT_OR_STRING] = this.#either(
      'integer',
      'string',
      'int-or-string',
      'A number or a name.',
    );
    for (const [name, format] of [
      ['Time', 'date-time'],
      ['MicroTime', 'date-time'],
    ]) {
      this.#definitions[`${META}.${name}`] = { type: 'string', format, description: 'A time, RFC 3339.' };
    }
    return this.#definitions;
  }

  #define(name: string, schema: Schema, home: string): void {
    if (this.#definitions[name]) return;
    const definition: Fields = {};
    this.#definitions[name] = definition;
    const texts = schema.model ? describeModel(schema.model) : undefined;
    Object.assign(definition, this.#inline(schema, home, texts));
    if (texts?.has('')) definition.description = texts.get('');
  }

  /** A schema in place; the models that it uses become definitions. */
  #inline(schema: Schema, home: string, texts?: ReadonlyMap<string, string>): Fields {
    const json: Fields = {};
    if (schema.description) json.description = schema.description;
    if (schema.type) json.type = schema.type;
    for (const name of KEYWORDS) if (schema[name] !== undefined) json[name] = schema[name];
    if (json.required && (json.required as unknown[]).length === 0) delete json.required;
    for (const [own, name] of SHOWN) if (schema[own] !== undefined) json[name] = schema[own];
    if (schema.mapType === 'atomic') json['x-kubernetes-map-type'] = 'atomic';
    if (schema.intOrString && schema.custom) json['x-kubernetes-int-or-string'] = true;
    if (schema.items) json.items = this.#reference(schema.items, home);
    if (schema.type === 'array' && !schema.listType && !schema.custom)
      json['x-kubernetes-list-type'] = 'atomic';
    if (schema.additionalProperties === true) json.additionalProperties = true;
    else if (schema.additionalProperties)
      json.additionalProperties = this.#reference(schema.additionalProperties, home);
    if (schema.properties) {
      const properties: Fields = {};
      for (const [name, child] of schema.properties) {
        const property = this.#reference(child, home);
        // The client does not keep what is said of fields whose type it describes itself.
        const text = texts?.get(name) ?? (child.model && describeModel(child.model).get(''));
        properties[name] = text ? this.#described(property, text) : property;
      }
      json.properties = properties;
    }
    return json;
  }

  #reference(schema: Schema, home: string): Fields {
    const name = this.#nameOf(schema, home);
    if (!name) return this.#inline(schema, home);
    if (schema.model) this.#define(name, modelSchema(schema.model), home);
    const extensions: Fields = {};
    if (schema.patchStrategy) extensions['x-kubernetes-patch-strategy'] = schema.patchStrategy;
    if (schema.mapType === 'granular' && schema.model && modelSchema(schema.model).mapType === 'atomic') {
      extensions['x-kubernetes-map-type'] = 'granular';
    }
    if (this.#version === 'v2') return { $ref: `#/definitions/${name}`, ...extensions };
    const $ref = `#/components/schemas/${name}`;
    return Object.keys(extensions).length === 0 ? { $ref } : { allOf: [{ $ref }], ...extensions };
  }

  /** Beside a reference version 3 allows nothing. */
  #described(property: Fields, description: string): Fields {
    const { $ref, ...rest } = property;
    return this.#version === 'v3' && $ref
      ? { description, allOf: [{ $ref }], ...rest }
      : { description, ...property };
  }

  #nameOf(schema: Schema, home: string): string | undefined {
    if (schema.model) return definitionName(schema.model, home);
    if (schema.custom) return undefined;
    if (schema.intOrString) return INT_OR_STRING;
    if (schema.format === 'quantity') return QUANTITY;
    if (schema.format === 'date-time') return `${META}.Time`;
    return schema.format === 'date-time-micro' ? `${META}.MicroTime` : undefined;
  }

  #either(a: string, b: string, format: string | undefined, description: string): Fields {
    const hint = format && { format };
    if (this.#version === 'v2') return { type: 'string', ...hint, description };
    return { oneOf: [{ type: a }, { type: b }], ...hint, description };
  }
}

function packageOf(group: string, version: string): string {
  return `${PACKAGES[group] ?? `io.k8s.api.${group.replace(/\.k8s\.io$|\.authorization\.k8s\.io$/, '')}`}.${version}`;
}

/** @param home the package of the kind that the model is part of. */
function definitionName(model: string, home: string): string {
  const type = typeName(model);
  if (META_TYPES.test(model)) return `${META}.${type}`;
  if (!home.endsWith('core.v1') && isCore(model)) return `${PACKAGES['']}.v1.${type}`;
  return `${home}.${type}`;
}

function isCore(model: string): boolean {
  coreModels ??= reachable(CORE_ROOTS);
  return coreModels.has(model) || CORE.has(typeName(model));
}

function reachable(models: readonly string[]): Set<string> {
  const found = new Set<string>();
  const visit = (schema: Schema): void => {
    if (schema.model && !META_TYPES.test(schema.model)) {
      if (found.has(schema.model)) return;
      found.add(schema.model);
      for (const child of schema.properties!.values()) visit(child);
    }
    if (schema.items) visit(schema.items);
    if (typeof schema.additionalProperties === 'object') visit(schema.additionalProperties);
  };
  for (const model of models) visit(modelSchema(model));
  return found;
}
