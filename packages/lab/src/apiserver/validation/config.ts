/** What is wrong with config maps and secrets. */
import type { Fields, KubeObject } from '../object.ts';
import { isEqual } from '../patch/equal.ts';
import { type Causes, error, IMMUTABLE } from './errors.ts';
import { configKey } from './formats.ts';
import { sub, text } from './read.ts';

/** Of all values together. */
const MOST_BYTES = 1024 * 1024;
const WHEN_IMMUTABLE = 'field is immutable when `immutable` is set';

/** Keys that secrets of a type have. */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
};

export function* validateConfigMap(object: KubeObject): Causes {
  const [data, binary] = [sub(object, 'data'), sub(object, 'binaryData')];
  let size = 0;
  for (const [key, value] of Object.entries(data)) {
    yield* validateKey(key, 'data');
    if (Object.hasOwn(binary, key))
      yield error.invalid(`data[${key}]`, key, 'duplicate of key present in binaryData');
    size += Buffer.byteLength(String(value));
  }
  for (const [key, value] of Object.entries(binary)) {
    yield* validateKey(key, 'binaryData');
    size += Buffer.byteLength(String(value), 'base64');
  }
  if (size > MOST_BYTES) yield error.tooLong('', MOST_BYTES);
}

function* validateKey(key: string, path: string): Causes {
  for (const detail of configKey(key)) yield error.invalid(`${path}[${key}]`, key, detail);
}

export function* validateConfigMapUpdate(object: KubeObject, old: KubeObject): Causes {
  yield* validateFrozen(object, old, ['data', 'binaryData']);
}

function* validateFrozen(object: KubeObject, old: KubeObject, names: readonly string[]): Causes {
  if (old.immutable !== true) return;
  if (object.immutable !== true) yield error.forbidden('immutable', WHEN_IMMUTABLE);
  for (const name of names) {
    if (!isEqual(object[name] ?? {}, old[name] ?? {})) yield error.forbidden(name, WHEN_IMMUTABLE);
  }
}

export function* validateSecret(object: KubeObject): Causes {
  const data = sub(object, 'data');
  const type = text(object, 'type');
  let size = 0;
  for (const [key, value] of Object.entries(data)) {
    yield* validateKey(key, 'data');
    size += Buffer.byteLength(String(value), 'base64');
  }
  if (size > MOST_BYTES) yield error.tooLong('data', MOST_BYTES);
  for (const key of KEYS[type] ?? []) {
    if (data[key] === undefined) yield error.required(`data[${key}]`);
    else if (key.startsWith('.docker')) yield* validateJson(data, key);
  }
  if (type === 'kubernetes.io/basic-auth' && data.username === undefined && data.password === undefined) {
    yield error.required('data[username]');
    yield error.required('data[password]');
  }
  const account = 'kubernetes.io/service-account.name';
  if (type === 'kubernetes.io/service-account-token' && !object.metadata.annotations?.[account]) {
    yield error.required(`metadata.annotations[${account}]`);
  }
}

function* validateJson(data: Fields, key: string): Causes {
  try {
    JSON.parse(Buffer.from(String(data[key]), 'base64').toString());
  } catch (cause) {
    yield error.invalid(`data[${key}]`, '<secret contents redacted>', (cause as Error).message);
  }
}

export function* validateSecretUpdate(object: KubeObject, old: KubeObject): Causes {
  if (object.type !== old.type) yield error.invalid('type', object.type, IMMUTABLE);
  yield* validateFrozen(object, old, ['data']);
}
