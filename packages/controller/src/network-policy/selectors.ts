import type { LabelSelector } from '@enid/kube';

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
