/** The attribute by which a load balancer is not deleted, and what the one who had it says of it when it is to go. */
import type { Annotations } from './annotations.ts';

export const DELETION_PROTECTION = 'deletion_protection.enabled';

/**
 * What an annotation says of it; undefined when it says nothing. What is wrong in other attributes must not keep an object
 * that is to go.
 */
export function saidOfProtection(annotations: Annotations, name: string): 'true' | 'false' | undefined {
  const pairs = annotations.list(name).map((pair) => pair.replaceAll(/\s/g, ''));
  return (['true', 'false'] as const).find((value) => pairs.includes(`${DELETION_PROTECTION}=${value}`));
}
