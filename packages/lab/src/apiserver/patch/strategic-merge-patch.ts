/**
 * `application/strategic-merge-patch+json` (apimachinery `util/strategicpatch`): a merge patch that knows which lists are
 * merged by which key, and that may say more by directives.
 */
import { type Fields, isFields } from '../object.ts';
import { childSchema, type Schema } from '../schema/schema.ts';
import { badRequest } from '../status.ts';
import { isEqual } from './equal.ts';

const PATCH = '$patch';
const RETAIN_KEYS = '$retainKeys';
const ORDER = '$setElementOrder/';
const DELETE_PRIMITIVES = '$deleteFromPrimitiveList/';

/**
 * @returns the result, which shares values with both arguments; these stay as they are.
 * @throws {ApiError} BadRequest of directives that make no sense, and of items without their merge key.
 */
export function strategicMergePatch(schema: Schema, object: Fields, patch: Fields): Fields {
  if (!isFields(patch)) throw badRequest('error decoding patch: a strategic merge patch is an object');
  return mergeMap(schema, object, patch);
}

function mergeMap(schema: Schema | undefined, original: Fields, patch: Fields): Fields {
  const directive = patch[PATCH];
  if (directive === 'replace') return stripped(without(patch, PATCH)) as Fields;
  if (directive === 'delete') return {};
  if (directive !== undefined && directive !== 'merge') throw unknownDirective(directive);

  const merged = new Map(Object.entries(original));
  retainKeys(merged, patch);
  for (const [name, list] of Object.entries(patch)) {
    if (name.startsWith(DELETE_PRIMITIVES))
      deletePrimitives(merged, name.slice(DELETE_PRIMITIVES.length), list);
  }
  for (const [name, value] of Object.entries(patch)) {
    if (name === PATCH || name === RETAIN_KEYS || name.startsWith(DELETE_PRIMITIVES)) continue;
    if (name.startsWith(ORDER)) {
      const listed = name.slice(ORDER.length);
      // The order alone, of a list that the patch does not change otherwise.
      if (!Object.hasOwn(patch, listed)) mergeInto(merged, childSchema(schema, listed), listed, [], value);
      continue;
    }
    mergeInto(merged, childSchema(schema, name), name, value, patch[ORDER + name]);
  }
  return Object.fromEntries(merged);
}

function mergeInto(
  merged: Map<string, unknown>,
  schema: Schema | undefined,
  name: string,
  value: unknown,
  order: unknown,
): void {
  const old = merged.get(name);
  if (value === null) merged.delete(name);
  else if (isFields(value)) {
    if (value[PATCH] === 'delete') merged.delete(name);
    else if (isFields(old) && !strategies(schema).includes('replace')) {
      merged.set(name, mergeMap(schema, old, value));
    } else merged.set(name, stripped(value));
  } else if (Array.isArray(value) && strategies(schema).includes('merge')) {
    const list = Array.isArray(old) ? old : [];
    if (old === undefined && value.length === 0 && order !== undefined) return;
    merged.set(name, mergeList(schema!, list, value, Array.isArray(order) ? order : undefined, name));
  } else merged.set(name, stripped(value));
}

function strategies(schema: Schema | undefined): string[] {
  return schema?.patchStrategy?.split(',') ?? [];
}

function mergeList(
  schema: Schema,
  original: unknown[],
  patch: unknown[],
  order: unknown[] | undefined,
  name: string,
): unknown[] {
  const key = schema.patchMergeKey;
  if (!key) {
    const added = patch.filter((item) => !original.includes(item));
    return inOrder([...original, ...added], original, order ?? patch, (item) => item);
  }
  const keyOf = (item: unknown): unknown => {
    const value = isFields(item) ? item[key] : undefined;
    if (value !== undefined) return value;
    throw badRequest(`${name}: ${JSON.stringify(item)} does not contain declared merge key: ${key}`);
  };
  const directives = patch.filter(
    (item) => isFields(item) && item[PATCH] !== undefined && item[PATCH] !== 'merge',
  ) as Fields[];
  for (const { [PATCH]: directive } of directives) {
    if (directive !== 'replace' && directive !== 'delete') throw unknownDirective(directive);
  }
  const changes = patch.filter((item) => !directives.includes(item as Fields));
  if (directives.some((item) => item[PATCH] === 'replace')) return changes.map(stripped);

  const gone = directives.map(keyOf);
  const merged = original.filter((item) => !gone.some((value) => isEqual(value, keyOf(item))));
  for (const change of changes as Fields[]) {
    const at = merged.findIndex((item) => isEqual(keyOf(item), keyOf(change)));
    if (at < 0) merged.push(stripped(change));
    else merged[at] = mergeMap(schema.items, merged[at] as Fields, change);
  }
  return inOrder(merged, original, (order ?? changes).map(keyOf), keyOf);
}

/**
 * Puts the items of the patch into its order; others stay, as far as can be, where they were among them. So what is new
 * comes before all that the patch does not name.
 */
function inOrder(
  items: unknown[],
  original: readonly unknown[],
  order: readonly unknown[],
  keyOf: (item: unknown) => unknown,
): unknown[] {
  const place = (keys: readonly unknown[], item: unknown): number =>
    keys.findIndex((key) => isEqual(key, keyOf(item)));
  const before = original.map(keyOf);
  const result = items
    .filter((item) => place(order, item) >= 0)
    .sort((a, b) => place(order, a) - place(order, b));
  let from = 0;
  for (const item of items.filter((other) => place(order, other) < 0)) {
    const was = place(before, item);
    let at = from;
    while (at < result.length && !(place(before, result[at]) > was)) at += 1;
    result.splice(at, 0, item);
    from = at + 1;
  }
  return result;
}

function retainKeys(merged: Map<string, unknown>, patch: Fields): void {
  const keys = patch[RETAIN_KEYS];
  if (keys === undefined) return;
  if (!Array.isArray(keys)) throw badRequest(`${RETAIN_KEYS} must be a list of names`);
  const stray = Object.keys(patch).find(
    (name) => !name.startsWith('$') && patch[name] !== null && !keys.includes(name),
  );
  if (stray !== undefined) throw badRequest(`${RETAIN_KEYS} does not list ${stray}, which the patch sets`);
  for (const name of [...merged.keys()]) if (!keys.includes(name)) merged.delete(name);
}

function deletePrimitives(merged: Map<string, unknown>, name: string, list: unknown): void {
  const old = merged.get(name);
  if (!Array.isArray(list)) throw badRequest(`${DELETE_PRIMITIVES}${name} must be a list`);
  if (!Array.isArray(old)) return;
  const left = old.filter((item) => !list.includes(item));
  merged.set(name, left);
}

function without(object: Fields, name: string): Fields {
  return Object.fromEntries(Object.entries(object).filter(([other]) => other !== name));
}

/** What a patch says where there was nothing before: its values without nulls and directives. */
function stripped(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.filter((item) => !(isFields(item) && item[PATCH] === 'delete')).map(stripped);
  }
  if (!isFields(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(
        ([name, child]) => child !== null && !name.startsWith(ORDER) && !name.startsWith(DELETE_PRIMITIVES),
      )
      .filter(([name]) => name !== PATCH && name !== RETAIN_KEYS)
      .map(([name, child]) => [name, stripped(child)]),
  );
}

function unknownDirective(directive: unknown): Error {
  return badRequest(
    `unknown patch type: ${PATCH}: ${JSON.stringify(directive)} is none of merge, replace, delete`,
  );
}
