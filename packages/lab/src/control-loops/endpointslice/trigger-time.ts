import type { Pod, Service } from '@enid/kube';
import { condition } from '../shared/pods.ts';

/** When what made the loop write a slice happened: service proxies measure from then on how long they took. */
export const LAST_CHANGE = 'endpoints.kubernetes.io/last-change-trigger-time';

/** What is known of a Service: when it was made, and when each of its pods became ready or ceased to be. */
export type Triggers = { readonly service: string; readonly pods: ReadonlyMap<string, string> };

export function triggersOf(service: Service, pods: readonly Pod[]): Triggers {
  const times = pods.flatMap((pod) => {
    const time = condition(pod, 'Ready')?.lastTransitionTime;
    return time ? [[pod.metadata?.name ?? '', String(time)] as const] : [];
  });
  return { service: String(service.metadata?.creationTimestamp ?? ''), pods: new Map(times) };
}

/**
 * The time for the annotation {@link LAST_CHANGE}: the earliest of what has changed, as Kubernetes' controller reckons it.
 * @param before undefined for a Service that is seen for the first time.
 * @returns undefined when nothing that has a time changed: the slice then has no annotation.
 */
export function triggerTime(before: Triggers | undefined, now: Triggers): string | undefined {
  if (!before) return now.service || undefined;
  const changed = [...now.pods]
    .filter(([pod, time]) => Date.parse(time) > Date.parse(before.pods.get(pod) ?? '1970-01-01'))
    .map(([, time]) => time);
  if (Date.parse(now.service) > Date.parse(before.service)) changed.push(now.service);
  return changed.sort((a, b) => Date.parse(a) - Date.parse(b))[0];
}
