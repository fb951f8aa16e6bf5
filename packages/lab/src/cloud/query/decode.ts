import type { NormalizedSchema } from '@smithy/core/schema';
import { Ec2Error, invalidValue, missingParameter } from '../errors.ts';
import { type Dialect, EC2_QUERY, requiredMembers } from './schema.ts';

/** Parameters that say which operation is meant and who asks: not part of any input. */
const ENVELOPE = new Set(['Action', 'Version']);

/** `Filter.1.Name=x` as a tree: Filter, then 1, then Name with the value x. */
type Node = { value?: string; readonly children: Map<string, Node> };

function toTree(parameters: Iterable<readonly [string, string]>): Node {
  const root: Node = { children: new Map() };
  for (const [name, value] of parameters) {
    if (ENVELOPE.has(name)) continue;
    let node = root;
    for (const part of name.split('.')) {
      const child: Node = node.children.get(part) ?? { children: new Map() };
      node.children.set(part, child);
      node = child;
    }
    node.value = value;
  }
  return root;
}

const join = (path: string, key: string): string => (path ? `${path}.${key}` : key);

function unknownParameter(path: string, node: Node): Ec2Error {
  const [child] = node.children;
  return node.value === undefined && child
    ? unknownParameter(join(path, child[0]), child[1])
    : new Ec2Error('UnknownParameter', `The parameter ${path} is not recognized`);
}

function readStructure(
  schema: NormalizedSchema,
  node: Node,
  path: string,
  dialect: Dialect,
): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  const unread = new Map(node.children);
  const keys = new Map<string, string>();
  for (const [name, member] of schema.structIterator()) {
    const key = dialect.requestKey(name, member);
    keys.set(name, key);
    const child = node.children.get(key);
    if (!child) continue;
    result[name] = read(member, child, join(path, key), dialect);
    unread.delete(key);
  }
  for (const [key, child] of unread) throw unknownParameter(join(path, key), child);
  for (const name of requiredMembers(schema)) {
    if (result[name] === undefined || result[name] === '')
      throw missingParameter(join(path, keys.get(name)!));
  }
  return result;
}

function readList(schema: NormalizedSchema, list: Node, at: string, dialect: Dialect): unknown[] {
  const { listMember } = dialect;
  const path = listMember === undefined ? at : join(at, listMember);
  const node = listMember === undefined ? list : (list.children.get(listMember) ?? { children: new Map() });
  for (const [key, child] of list.children) {
    if (node !== list && key !== listMember) throw unknownParameter(join(at, key), child);
  }
  if (list.value) throw invalidValue(list.value, at, `Number the members of the list: ${path}.1, ${path}.2`);
  const member = schema.getValueSchema();
  for (const [key, child] of node.children) {
    if (!/^\d+$/.test(key)) throw unknownParameter(join(path, key), child);
  }
  return [...node.children]
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([index, child]) => read(member, child, join(path, index), dialect));
}

function readSimple(schema: NormalizedSchema, text: string, path: string): unknown {
  if (schema.isStringSchema()) return text;
  if (schema.isBooleanSchema()) {
    if (text === 'true' || text === 'false') return text === 'true';
    throw invalidValue(text, path, "It is a boolean: use 'true' or 'false'");
  }
  if (schema.isNumericSchema()) {
    if (/^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text)) return Number(text);
    throw invalidValue(text, path, 'It is not a number');
  }
  if (schema.isTimestampSchema()) {
    const time = new Date(text);
    if (!Number.isNaN(time.getTime())) return time;
    throw invalidValue(text, path, 'It is not a time in ISO 8601 format');
  }
  if (schema.isBlobSchema()) return new Uint8Array(Buffer.from(text, 'base64'));
  throw new Error(`no rule to read ${schema.getName(true)} of ${path}`);
}

function read(schema: NormalizedSchema, node: Node, path: string, dialect: Dialect): unknown {
  if (schema.isStructSchema()) return readStructure(schema, node, path, dialect);
  if (schema.isListSchema()) return readList(schema, node, path, dialect);
  if (node.value === undefined) throw unknownParameter(path, node);
  for (const [key, child] of node.children) throw unknownParameter(join(path, key), child);
  return readSimple(schema, node.value, path);
}

/**
 * Reads the input of an operation from the parameters of a request in a Query protocol: nested members are
 * dotted, lists are numbered; EC2 does so without a word for the member (`Filter.1.Value.2=x`).
 * @param schema the operation's input.
 * @param parameters names and values as the form or the query string has them, percent-decoded.
 * @param dialect of the service; EC2's unless given.
 * @returns the input as the SDK's command takes it.
 * @throws {Ec2Error} UnknownParameter, MissingParameter or InvalidParameterValue, which name the parameter.
 */
export function decode(
  schema: NormalizedSchema,
  parameters: Iterable<readonly [string, string]>,
  dialect: Dialect = EC2_QUERY,
): Record<string, unknown> {
  const tree = toTree(parameters);
  if (!schema.isUnitSchema()) return readStructure(schema, tree, '', dialect);
  for (const [key, child] of tree.children) throw unknownParameter(key, child);
  return {};
}
