import type { LabelSelector } from './wire.ts';

export type Labels = Readonly<Record<string, string>>;

/** Whether a label selector selects what has these labels; an empty one selects everything. */
export function selects(selector: LabelSelector, labels: Labels = {}): boolean {
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
