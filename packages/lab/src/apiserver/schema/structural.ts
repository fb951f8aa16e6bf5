/** Whether a definition's schema is structural: every field has one type, said once (apiextensions `structural schema`). */
import { type Fields, isFields } from '../object.ts';
import { type Cause, field } from '../status.ts';

const TYPES = ['array', 'boolean', 'integer', 'number', 'object', 'string'];
const LOGIC = ['allOf', 'anyOf', 'oneOf'] as const;
/** What says which fields there are, and so has no place under a condition. */
const STRUCTURE = [
  'additionalProperties',
  'default',
  'description',
  'nullable',
  'title',
  'type',
  'x-kubernetes-embedded-resource',
  'x-kubernetes-int-or-string',
  'x-kubernetes-preserve-unknown-fields',
] as const;
const REFUSED = [
  '$ref',
  'definitions',
  'dependencies',
  'patternProperties',
  'additionalItems',
  'id',
] as const;

/** @param path where the schema is, `spec.versions[0].schema.openAPIV3Schema`. */
export function structuralErrors(schema: Fields, path: string): Cause[] {
  const causes: Cause[] = [];
  if (schema.type !== 'object') {
    const detail = 'must be object at the root';
    causes.push(
      schema.type
        ? field.invalid(`${path}.type`, schema.type, detail)
        : field.required(`${path}.type`, detail),
    );
  } else level(schema, path, causes);
  return causes;
}

function level(schema: Fields, path: string, causes: Cause[]): void {
  const intOrString = schema['x-kubernetes-int-or-string'] === true;
  const preserve = schema['x-kubernetes-preserve-unknown-fields'] === true;
  if (!schema.type && !intOrString && !preserve) {
    causes.push(field.required(`${path}.type`, 'must not be empty for specified object fields'));
  } else if (schema.type && !TYPES.includes(String(schema.type))) {
    causes.push(field.notSupported(`${path}.type`, schema.type, TYPES));
  }
  if (schema.type && intOrString) {
    causes.push(
      field.invalid(`${path}.type`, schema.type, 'must be empty if x-kubernetes-int-or-string is true'),
    );
  }
  for (const name of REFUSED) {
    if (schema[name] !== undefined)
      causes.push(field.forbidden(`${path}.${name}`, `${name} is not supported`));
  }
  if (schema.properties !== undefined && schema.additionalProperties !== undefined) {
    const detail = 'additionalProperties and properties are mutual exclusive';
    causes.push(field.forbidden(`${path}.additionalProperties`, detail));
  }
  if (schema.uniqueItems === true) {
    causes.push(
      field.forbidden(
        `${path}.uniqueItems`,
        'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
      ),
    );
  }
  lists(schema, path, causes);
  for (const name of LOGIC) {
    const conditions = schema[name];
    if (!Array.isArray(conditions)) continue;
    for (const [index, item] of conditions.entries())
      condition(item, schema, `${path}.${name}[${index}]`, causes);
  }
  if (schema.not !== undefined) condition(schema.not, schema, `${path}.not`, causes);

  for (const [name, child] of Object.entries(isFields(schema.properties) ? schema.properties : {})) {
    if (isFields(child)) level(child, `${path}.properties[${name}]`, causes);
  }
  if (isFields(schema.items)) level(schema.items, `${path}.items`, causes);
  if (isFields(schema.additionalProperties)) {
    level(schema.additionalProperties, `${path}.additionalProperties`, causes);
  }
}

function lists(schema: Fields, path: string, causes: Cause[]): void {
  if (schema.type === 'array' && !isFields(schema.items)) {
    causes.push(field.required(`${path}.items`, 'must be specified'));
  }
  const type = schema['x-kubernetes-list-type'];
  const keys = schema['x-kubernetes-list-map-keys'];
  if (type !== undefined && !['atomic', 'set', 'map'].includes(String(type))) {
    causes.push(field.notSupported(`${path}.x-kubernetes-list-type`, type, ['atomic', 'set', 'map']));
  }
  if (type === 'map' && !(Array.isArray(keys) && keys.length > 0)) {
    const detail = 'must not be empty if x-kubernetes-list-type is map';
    causes.push(field.required(`${path}.x-kubernetes-list-map-keys`, detail));
  }
  if (type !== 'map' || !Array.isArray(keys) || !isFields(schema.items)) return;
  const items = isFields(schema.items.properties) ? schema.items.properties : {};
  const required = Array.isArray(schema.items.required) ? schema.items.required : [];
  for (const [index, key] of keys.entries()) {
    const item = items[String(key)];
    if (!isFields(item)) {
      const at = `${path}.x-kubernetes-list-map-keys[${index}]`;
      causes.push(field.invalid(at, key, 'entries must all be names of item properties'));
    } else if (item.default === undefined && !required.includes(key)) {
      const detail =
        'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property';
      causes.push(field.required(`${path}.items.properties[${key}].default`, detail));
    }
  }
}

/** Conditions speak of fields that the structure around them has. */
function condition(json: unknown, structure: Fields, path: string, causes: Cause[]): void {
  if (!isFields(json)) return;
  for (const name of STRUCTURE) {
    if (json[name] === undefined) continue;
    const isIntOrString = name === 'type' && structure['x-kubernetes-int-or-string'] === true;
    if (!isIntOrString)
      causes.push(
        field.forbidden(
          `${path}.${name}`,
          `must be ${name === 'nullable' ? 'false' : 'empty'} to be structural`,
        ),
      );
  }
  const known = isFields(structure.properties) ? structure.properties : {};
  for (const [name, child] of Object.entries(isFields(json.properties) ? json.properties : {})) {
    const described = known[name];
    if (isFields(described)) condition(child, described, `${path}.properties[${name}]`, causes);
    else if (!isFields(structure.additionalProperties)) {
      causes.push(field.required(pathOf(path, name), `because it is defined in ${path}.properties[${name}]`));
    }
  }
  if (isFields(json.items) && isFields(structure.items)) {
    condition(json.items, structure.items, `${path}.items`, causes);
  }
  for (const name of LOGIC) {
    const inner = json[name];
    if (!Array.isArray(inner)) continue;
    for (const [index, item] of inner.entries())
      condition(item, structure, `${path}.${name}[${index}]`, causes);
  }
  if (json.not !== undefined) condition(json.not, structure, `${path}.not`, causes);
}

function pathOf(path: string, name: string): string {
  return `${path.replace(/\.(?:allOf|anyOf|oneOf|not)(?:\[\d+\])?.*$/, '')}.properties[${name}]`;
}
