import type { LabelSelector } from '@enid/kube';

export type Labels = Readonly<Record<string, string>>;

/** Whether a label selector selects; an empty one selects everything. */
export function selects(selector: LabelSelector, labels: Labels): boolean {
  const { matchLabels, matchExpressions = [] } = selector;
  for (const key in matchLabels) if (labelIn(labels, key) !== matchLabels[key]) return false;
  return matchExpressions.every(({ key, operator, values = [] }) => {
    const value = labelIn(labels, key);
    if (operator === 'In') return value !== undefined && values.includes(value);
    if (operator === 'NotIn') return value === undefined || !values.includes(value);
    if (operator === 'Exists') return value !== undefined;
    // An operator of a later version selects nothing.
    return operator === 'DoesNotExist' && value === undefined;
  });
}

const labelIn = (labels: Labels, key: string) => (Object.hasOwn(labels, key) ? labels[key] : undefined);

/**
 * What one of the labels must be of whatever is selected, as `key=value`: what to look things up by.
 * @returns undefined when the selector demands no certain value.
 */
export function pivotOf(selector: LabelSelector): string[] | undefined {
  for (const key in selector.matchLabels) return [labelOf(key, selector.matchLabels[key]!)];
  const oneOf = selector.matchExpressions?.find(({ operator }) => operator === 'In');
  return oneOf && [...new Set(oneOf.values ?? [])].map((value) => labelOf(oneOf.key, value));
}

export const labelOf = (key: string, value: string) => `${key}=${value}`;
