/** The attributes of load balancers, listeners and target groups that annotations set. */
import type { Annotations } from './annotations.ts';

/** What the values of keys may be: whole numbers of a range, or one besides, or text. Keys that are not here are for AWS to judge. */
export type AttributeTable = Readonly<
  Record<string, RegExp | readonly [from: number, to: number, or?: number]>
>;

export const FLAG = /^(true|false)$/;

/** Attributes `key=value,...` of an annotation. @throws {InvalidObject} for a value that AWS would refuse. */
export function readAttributes(
  annotations: Annotations,
  name: string,
  table: AttributeTable,
): Record<string, string> {
  const attributes = annotations.map(name);
  for (const [key, value] of Object.entries(attributes)) {
    const allowed = Object.hasOwn(table, key) ? table[key]! : /(?:)/;
    if (allowed instanceof RegExp) {
      if (!allowed.test(value)) annotations.refuse(name, `has ${key}=${value}: it may be ${words(allowed)}`);
      continue;
    }
    const [from, to, or] = allowed;
    if (value === `${or}`) continue;
    if (!/^\d+$/.test(value) || Number(value) < from || Number(value) > to)
      annotations.refuse(
        name,
        `has ${key}=${value}: it may be ${or === undefined ? '' : `${or}, or `}a whole number from ${from} to ${to}`,
      );
  }
  return attributes;
}

/** `^(true|false)$` as `true or false`. */
const words = ({ source }: RegExp) => source.replace(/^\^\(|\)\$$/g, '').replaceAll('|', ' or ');
