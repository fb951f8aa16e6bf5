import { type Informer, type KubeObject, keyOf, type Pod, type WorkQueue } from '@enid/kube';
import type { Expectations } from './expectations.ts';
import { controllerOf } from './owners.ts';
import { isDeleted } from './pods.ts';

/**
 * Adds the owners of pods that change to a queue, and tells what was expected to be seen.
 * @param kind of the owners.
 * @param suitorsOf who may want to adopt a pod that nothing manages.
 */
export function followPods<I extends string>(
  pods: Informer<Pod, I>,
  kind: string,
  queue: WorkQueue,
  expectations: Expectations | undefined,
  suitorsOf: (pod: Pod) => readonly KubeObject[],
): () => void {
  const ownerKey = (pod: Pod | undefined) => {
    const owner = pod && controllerOf(pod);
    return owner?.kind === kind ? `${pod!.metadata?.namespace}/${owner.name}` : undefined;
  };
  return pods.onChange((old, now) => {
    const [before, after] = [ownerKey(old), ownerKey(now)];
    if (before && before !== after) queue.add(before);
    if (after) queue.add(after);
    if (!old && after) expectations?.created(after);
    const key = after ?? before;
    if (key && (!now || isDeleted(now))) expectations?.deleted(key, (now ?? old)!.metadata?.uid ?? '');
    if (now) for (const suitor of suitorsOf(now)) queue.add(keyOf(suitor));
  });
}
