import type { Pod } from '@enid/kube';
import { hasLabels, matchesNodeSelector } from '../shared/selectors.ts';
import type { NodeInfo } from './node-info.ts';

/** Whether the pod wants to be on such a node at all. */
export function wantsNode(pod: Pod, { node, labels }: NodeInfo): boolean {
  const required = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return (
    hasLabels(pod.spec?.nodeSelector ?? {}, labels) && (!required || matchesNodeSelector(required, node))
  );
}
