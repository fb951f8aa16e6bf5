/** Label selectors in their text form (`a=b,c!=d,e in (f,g),!h`). */
import { badRequest } from '../status.ts';

export type Labels = Readonly<Record<string, string>>;
export type Matcher<T> = (value: T) => boolean;

const KEY = /^([a-z0-9A-Z.-]+\/)?[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$/;
const VALUE = /^([A-Za-z0-9]([\w.-]*[A-Za-z0-9])?)?$/;

/**
 * Reads a selector.
 * @returns whether labels match it; undefined when it is empty and matches all.
 * @throws {ApiError} BadRequest.
 */
export function parseLabelSelector(text: string | null | undefined): Matcher<Labels> | undefined {
  if (!text?.trim()) return undefined;
  // A comma inside of parentheses separates values, another one requirements.
  const requirements = text.split(/,(?![^(]*\))/).map((part) => parseRequirement(part.trim(), text));
  return (labels) => requirements.every((matches) => matches(labels));
}

function parseRequirement(part: string, whole: string): Matcher<Labels> {
  const fail = (why: string) => badRequest(`unable to parse label selector ${JSON.stringify(whole)}: ${why}`);
  const key = (name: string) => {
    if (!KEY.test(name) || name.length > 317) throw fail(`${JSON.stringify(name)} is no label's key`);
    return name;
  };
  const value = (text: string) => {
    if (!VALUE.test(text) || text.length > 63) throw fail(`${JSON.stringify(text)} is no label's value`);
    return text;
  };

  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(part);
  if (set) {
    const name = key(set[1]!);
    const values = new Set(set[3]!.split(',').map((text) => value(text.trim())));
    const wanted = set[2] === 'in';
    // `notin` is true of what does not have the label at all.
    return (labels) => (Object.hasOwn(labels, name) ? values.has(labels[name]!) === wanted : !wanted);
  }
  const comparison = /^([^=!<>\s]+)\s*(==|=|!=|<|>)\s*(\S*)$/.exec(part);
  if (comparison) {
    const name = key(comparison[1]!);
    const operand = value(comparison[3]!);
    switch (comparison[2]) {
      case '!=':
        return (labels) => labels[name] !== operand;
      case '<':
      case '>': {
        if (!/^-?\d+$/.test(operand)) throw fail(`${JSON.stringify(operand)} must be an integer`);
        const sign = comparison[2] === '>' ? 1 : -1;
        return (labels) => Object.hasOwn(labels, name) && sign * (Number(labels[name]) - Number(operand)) > 0;
      }
      default:
        return (labels) => Object.hasOwn(labels, name) && labels[name] === operand;
    }
  }
  if (part.startsWith('!')) {
    const name = key(part.slice(1).trim());
    return (labels) => !Object.hasOwn(labels, name);
  }
  const name = key(part);
  return (labels) => Object.hasOwn(labels, name);
}

type Requirement = { key: string; operator: string; values?: string[] };

/** Whether labels match a selector in its object form (`metav1.LabelSelector`). One that is empty matches all. */
export function selectorMatches(
  selector: { matchLabels?: unknown; matchExpressions?: unknown } | undefined,
  labels: Labels,
): boolean {
  if (!selector) return false;
  const equal = Object.entries((selector.matchLabels ?? {}) as Record<string, string>);
  const requirements = (selector.matchExpressions ?? []) as Requirement[];
  return (
    equal.every(([key, value]) => labels[key] === value) &&
    requirements.every(({ key, operator, values = [] }) => {
      if (operator === 'Exists') return Object.hasOwn(labels, key);
      if (operator === 'DoesNotExist') return !Object.hasOwn(labels, key);
      const among = Object.hasOwn(labels, key) && values.includes(labels[key]!);
      return operator === 'In' ? among : !among;
    })
  );
}
