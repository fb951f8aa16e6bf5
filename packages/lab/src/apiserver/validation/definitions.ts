/** What is wrong with CustomResourceDefinitions (`apiextensions/validation`). */
import { type Fields, isFields, type KubeObject } from '../object.ts';
import { structuralErrors } from '../schema/structural.ts';
import { type Causes, error, IMMUTABLE } from './errors.ts';
import { dns1035Label, dnsSubdomain } from './formats.ts';
import { each, has, sub, text, texts } from './read.ts';

const COLUMN_TYPES = ['boolean', 'date', 'integer', 'number', 'string'];

export function* validateDefinition({ metadata, spec = {} }: KubeObject): Causes {
  const [group, names] = [text(spec, 'group'), sub(spec, 'names')];
  const plural = text(names, 'plural');
  if (metadata.name !== `${plural}.${group}`) {
    yield error.invalid('metadata.name', metadata.name, 'must be spec.names.plural+"."+spec.group');
  }
  if (group !== '') {
    const details = dnsSubdomain(group);
    for (const detail of details) yield error.invalid('spec.group', group, detail);
    if (details.length === 0 && !group.includes('.')) {
      yield error.invalid('spec.group', group, 'should be a domain with at least one dot');
    }
  }
  yield* validateNames(names);
  yield* validateVersions(spec);
  if (text(sub(spec, 'conversion'), 'strategy') === 'Webhook') {
    yield error.forbidden(
      'spec.conversion.strategy',
      'the lab asks no conversion webhooks; set it to None, with which all versions have the same fields, or serve one version alone',
    );
  }
  if (spec.preserveUnknownFields === true) {
    yield error.invalid(
      'spec.preserveUnknownFields',
      true,
      'must be false in order to use defaults in the schema',
    );
  }
}

function* validateNames(names: Fields): Causes {
  for (const name of ['plural', 'singular']) {
    const value = text(names, name);
    if (value === '') continue;
    for (const detail of dns1035Label(value)) yield error.invalid(`spec.names.${name}`, value, detail);
  }
  for (const name of ['kind', 'listKind']) {
    const value = text(names, name);
    if (value === '') continue;
    for (const detail of dns1035Label(value.toLowerCase())) {
      yield error.invalid(
        `spec.names.${name}`,
        value,
        `may have mixed case, but should otherwise match: ${detail}`,
      );
    }
  }
  if (text(names, 'kind') !== '' && names.kind === names.listKind) {
    yield error.invalid('spec.names.listKind', names.listKind, 'kind and listKind may not be the same');
  }
  for (const list of ['shortNames', 'categories']) {
    for (const [index, value] of texts(names, list).entries()) {
      for (const detail of dns1035Label(value))
        yield error.invalid(`spec.names.${list}[${index}]`, value, detail);
    }
  }
}

function* validateVersions(spec: Fields): Causes {
  const versions = each(spec, 'versions', 'spec');
  const seen = new Set<string>();
  for (const [version, at] of versions) {
    const name = text(version, 'name');
    if (name !== '') for (const detail of dns1035Label(name)) yield error.invalid(`${at}.name`, name, detail);
    if (seen.has(name)) {
      yield error.invalid('spec.versions', name, 'must contain unique version names');
    }
    seen.add(name);
    const schema = sub(version, 'schema').openAPIV3Schema;
    if (!isFields(schema)) yield error.required(`${at}.schema.openAPIV3Schema`, 'schemas are required');
    else yield* structuralErrors(schema, `${at}.schema.openAPIV3Schema`);
    for (const [column, place] of each(version, 'additionalPrinterColumns', at)) {
      if (!COLUMN_TYPES.includes(text(column, 'type'))) {
        yield error.invalid(`${place}.type`, column.type ?? '', `must be one of ${COLUMN_TYPES.join(',')}`);
      }
      if (!text(column, 'jsonPath').startsWith('.')) {
        yield error.invalid(
          `${place}.jsonPath`,
          column.jsonPath ?? '',
          'is not a simple json path starting with .',
        );
      }
    }
    yield* validateScale(
      sub(sub(version, 'subresources'), 'scale'),
      has(sub(version, 'subresources'), 'scale'),
      at,
    );
  }
  const stored = versions
    .filter(([{ storage }]) => storage === true)
    .map(([version]) => text(version, 'name'));
  if (versions.length > 0 && stored.length !== 1) {
    const detail = 'must have exactly one version marked as storage version';
    yield error.invalid(
      'spec.versions',
      versions.map(([version]) => text(version, 'name')),
      detail,
    );
  }
}

function* validateScale(scale: Fields, isThere: boolean, path: string): Causes {
  if (!isThere) return;
  for (const [name, root] of [
    ['specReplicasPath', '.spec.'],
    ['statusReplicasPath', '.status.'],
  ] as const) {
    const at = `${path}.subresources.scale.${name}`;
    const value = text(scale, name);
    if (value === '') continue;
    if (!value.startsWith(root))
      yield error.invalid(at, value, `should be a json path under ${root.slice(0, -1)}`);
  }
}

export function* validateDefinitionUpdate(
  { spec = {} }: KubeObject,
  { spec: was = {}, status }: KubeObject,
): Causes {
  for (const name of ['group', 'scope'] as const) {
    if (spec[name] !== was[name]) yield error.invalid(`spec.${name}`, spec[name], IMMUTABLE);
  }
  for (const name of ['plural', 'kind'] as const) {
    const [value, before] = [sub(spec, 'names')[name], sub(was, 'names')[name]];
    if (value !== before) yield error.invalid(`spec.names.${name}`, value, IMMUTABLE);
  }
  const names = each(spec, 'versions', '').map(([version]) => text(version, 'name'));
  for (const [index, stored] of texts(status, 'storedVersions').entries()) {
    if (names.includes(stored)) continue;
    const detail = 'missing from spec.versions; must have all stored versions';
    yield error.invalid(`status.storedVersions[${index}]`, stored, detail);
  }
}
