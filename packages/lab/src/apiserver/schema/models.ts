/** The types of the Kubernetes API, as the generated models of its JavaScript client tell them. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export type ModelField = {
  /** As on the wire. */
  readonly name: string;
  /** `string`, `Array<V1Container>`, `{ [key: string]: string; }` ... */
  readonly type: string;
  readonly format: string;
  readonly required: boolean;
};

const MODELS = new URL('gen/models/', import.meta.resolve('@kubernetes/client-node'));
const descriptions = new Map<string, ReadonlyMap<string, string>>();
const LIST = /^V\d\w*?\.attributeTypeMap = |^\w+\.attributeTypeMap = /m;
const MEMBER = /^ {4}'(\w+)'(\?)?: /gm;
const COMMENTED = /\/\*\*\n\s*\* (.*)\n\s*\*\/\n\s*(?:'(\w+)'|export declare class)/g;

/**
 * The model of a kind: `V1Pod` of ('', 'v1', 'Pod'). Where two groups have a kind of the same name, the model's name
 * begins with the group's: `EventsV1Event`.
 */
export function modelOfKind(group: string, version: string, kind: string): string | undefined {
  const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
  const plain = `${capital(version)}${kind}`;
  const grouped = capital(group === '' ? 'core' : group.split('.', 1)[0]!) + plain;
  return [grouped, plain].find((name) => existsSync(new URL(`${name}.js`, MODELS)));
}

/** `PodSpec` of `V1PodSpec`: what the type is called in Go. */
export function typeName(model: string): string {
  return model.replace(/^(?:[A-Z][a-z]+)?V\d+(?:(?:alpha|beta)\d+)?(?=[A-Z])/, '');
}

/** The fields of a model, in alphabetical order. */
export function readModel(model: string): ModelField[] {
  const source = readFileSync(fileURLToPath(new URL(`${model}.js`, MODELS)), 'utf8');
  const start = LIST.exec(source);
  if (!start)
    throw new Error(`the Kubernetes client's model ${model} lists no fields: is its version another?`);
  const from = start.index + start[0].length;
  const listed: { name: string; baseName: string; type: string; format: string }[] = JSON.parse(
    source.slice(from, source.indexOf('];', from) + 1),
  );
  const optional = new Map<string, boolean>();
  for (const [, name, mark] of declaration(model).matchAll(MEMBER)) optional.set(name!, mark !== undefined);
  return listed.map(({ name, baseName, type, format }) => ({
    name: baseName,
    type,
    format,
    required: optional.get(name) === false,
  }));
}

/** What the documentation says of a model, under '', and of its fields. */
export function describeModel(model: string): ReadonlyMap<string, string> {
  const known = descriptions.get(model);
  if (known) return known;
  const texts = new Map<string, string>();
  descriptions.set(model, texts);
  for (const [, text, name] of declaration(model).matchAll(COMMENTED)) {
    texts.set(name ?? '', text!.replace(/\\(['"])/g, '$1'));
  }
  return texts;
}

function declaration(model: string): string {
  return readFileSync(fileURLToPath(new URL(`${model}.d.ts`, MODELS)), 'utf8');
}
