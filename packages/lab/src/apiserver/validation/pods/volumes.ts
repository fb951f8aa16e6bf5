/** What is wrong with the volumes of a pod (`ValidateVolumes`). */
import type { Fields } from '../../object.ts';
import { type Causes, error } from '../errors.ts';
import { configKey, dnsLabel } from '../formats.ts';
import { each, has, number, sub, text } from '../read.ts';
import { relativePath, validateFieldRef } from './containers.ts';

/** 0777, octal. */
const MOST_MODE = 511;
const MODE_DETAIL = 'must be a number between 0 and 0777 (octal), both inclusive';
const DOWNWARD_FIELDS = [
  'metadata.name',
  'metadata.namespace',
  'metadata.uid',
  'metadata.labels',
  'metadata.annotations',
];
const SOURCES = [
  'secret',
  'configMap',
  'downwardAPI',
  'serviceAccountToken',
  'clusterTrustBundle',
  'podCertificate',
];
/** Shorter tokens would be renewed all the time. */
const LEAST_TOKEN_SECONDS = 600;

export function* validateVolumes(spec: Fields, path: string): Causes {
  const names = new Set<string>();
  for (const [volume, at] of each(spec, 'volumes', path)) {
    const name = text(volume, 'name');
    if (name !== '') {
      for (const detail of dnsLabel(name)) yield error.invalid(`${at}.name`, name, detail);
      if (names.has(name)) yield error.duplicate(`${at}.name`, name);
      names.add(name);
    }
    const [kind, ...others] = Object.keys(volume).filter((field) => field !== 'name' && has(volume, field));
    if (!kind) yield error.required(at, 'must specify a volume type');
    else yield* validateSource(kind, sub(volume, kind), `${at}.${kind}`);
    for (const other of others)
      yield error.forbidden(`${at}.${other}`, 'may not specify more than 1 volume type');
  }
}

export function volumeNames(spec: Fields): Set<string> {
  return new Set(each(spec, 'volumes', '').map(([volume]) => text(volume, 'name')));
}

function* validateSource(kind: string, source: Fields, path: string): Causes {
  switch (kind) {
    case 'hostPath':
      if (text(source, 'path').split('/').includes('..')) {
        yield error.invalid(`${path}.path`, source.path, "must not contain '..'");
      }
      break;
    case 'secret':
      if (text(source, 'secretName') === '') yield error.required(`${path}.secretName`);
      yield* validateFiles(source, path);
      break;
    case 'configMap':
      if (text(source, 'name') === '') yield error.required(`${path}.name`);
      yield* validateFiles(source, path);
      break;
    case 'downwardAPI':
      yield* validateMode(source, 'defaultMode', path);
      yield* validateDownward(source, path);
      break;
    case 'projected':
      yield* validateMode(source, 'defaultMode', path);
      for (const [part, at] of each(source, 'sources', path)) yield* validateProjection(part, at);
      break;
    default:
  }
}

function* validateProjection(part: Fields, path: string): Causes {
  const [kind, ...others] = SOURCES.filter((name) => has(part, name));
  if (!kind) yield error.required(path, 'must specify one of the volume sources');
  for (const other of others)
    yield error.forbidden(`${path}.${other}`, 'may not specify more than 1 volume type');
  const source = sub(part, kind ?? '');
  if (kind === 'secret' || kind === 'configMap') {
    if (text(source, 'name') === '') yield error.required(`${path}.${kind}.name`);
    yield* validateFiles(source, `${path}.${kind}`);
  }
  if (kind === 'downwardAPI') yield* validateDownward(source, `${path}.${kind}`);
  const seconds = number(source, 'expirationSeconds');
  if (kind === 'serviceAccountToken' && seconds !== undefined && seconds < LEAST_TOKEN_SECONDS) {
    const detail = 'may not specify a duration less than 10 minutes';
    yield error.invalid(`${path}.${kind}.expirationSeconds`, seconds, detail);
  }
}

function* validateFiles(source: Fields, path: string): Causes {
  yield* validateMode(source, 'defaultMode', path);
  for (const [item, at] of each(source, 'items', path)) {
    const key = text(item, 'key');
    if (key !== '') for (const detail of configKey(key)) yield error.invalid(`${at}.key`, key, detail);
    yield* relativePath(text(item, 'path'), `${at}.path`);
    yield* validateMode(item, 'mode', at);
  }
}

function* validateDownward(source: Fields, path: string): Causes {
  for (const [item, at] of each(source, 'items', path)) {
    yield* relativePath(text(item, 'path'), `${at}.path`);
    yield* validateMode(item, 'mode', at);
    if (has(item, 'fieldRef'))
      yield* validateFieldRef(sub(item, 'fieldRef'), `${at}.fieldRef`, DOWNWARD_FIELDS);
    else if (!has(item, 'resourceFieldRef')) {
      yield error.required(at, 'one of fieldRef and resourceFieldRef is required');
    }
  }
}

function* validateMode(object: Fields, name: string, path: string): Causes {
  const mode = number(object, name);
  if (mode !== undefined && (mode < 0 || mode > MOST_MODE))
    yield error.invalid(`${path}.${name}`, mode, MODE_DETAIL);
}
