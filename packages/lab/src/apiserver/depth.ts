/**
 * How many levels of objects and lists may be in one another. What looks at an object goes down into it by calling itself,
 * as far as there is stack: a body that is nested further is refused, by the client's fault and not by the server's.
 */
export const DEEPEST = 500;

export const TOO_DEEP = `it is nested more than ${DEEPEST} levels deep`;

export function isTooDeep(value: unknown, left = DEEPEST): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return left === 0 || Object.values(value).some((child) => isTooDeep(child, left - 1));
}
