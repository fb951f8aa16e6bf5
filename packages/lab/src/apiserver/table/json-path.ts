import { isFields } from '../object.ts';

/**
 * The value at a simple path (`.spec.ports[0].port`, `.status.conditions[?(@.type=="Ready")].status`), as printer columns
 * of custom resources use them. Of several values the first.
 */
export function valueByJsonPath(object: unknown, path: string): unknown {
  const steps = path.match(/\.[^.[\]]+|\[\?\(@\.[^\]]+\)\]|\[[^\]]+\]/g) ?? [];
  let values: unknown[] = [object];
  for (const step of steps) values = values.flatMap((value) => follow(value, step));
  return values[0];
}

function follow(value: unknown, step: string): unknown[] {
  const [, field, wanted] = /^\[\?\(@\.([\w.]+)\s*==\s*['"]?([^'")]*)['"]?\)\]$/.exec(step) ?? [];
  if (field !== undefined) {
    return Array.isArray(value)
      ? value.filter((item) => String(valueByJsonPath(item, `.${field}`)) === wanted)
      : [];
  }
  const key = step.startsWith('.') ? step.slice(1) : step.slice(1, -1).replace(/^['"]|['"]$/g, '');
  if (key === '*') return Array.isArray(value) ? value : isFields(value) ? Object.values(value) : [];
  if (Array.isArray(value)) return key in value ? [value[Number(key)]] : [];
  return isFields(value) && Object.hasOwn(value, key) ? [value[key]] : [];
}
