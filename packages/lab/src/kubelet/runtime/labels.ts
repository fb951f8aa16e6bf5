/** Labels and annotations by which the runtime keeps for the kubelet what belongs to what. */
import type { Pod } from '@enid/kube';
import { nameOf, namespaceOf, uidOf } from '../pod.ts';

export const POD_NAME = 'io.kubernetes.pod.name';
export const POD_NAMESPACE = 'io.kubernetes.pod.namespace';
export const POD_UID = 'io.kubernetes.pod.uid';
export const CONTAINER_NAME = 'io.kubernetes.container.name';
/** The image that the pod asked for: another one now is a reason to start the container again. */
export const IMAGE = 'io.enid.container.image';
export const GRACE_PERIOD = 'io.kubernetes.pod.terminationGracePeriod';
export const MESSAGE_PATH = 'io.kubernetes.container.terminationMessagePath';
export const MESSAGE_POLICY = 'io.kubernetes.container.terminationMessagePolicy';

export function podLabels(pod: Pod): Record<string, string> {
  return {
    ...pod.metadata!.labels,
    [POD_NAME]: nameOf(pod),
    [POD_NAMESPACE]: namespaceOf(pod),
    [POD_UID]: uidOf(pod),
  };
}

/** How long a pod's containers may take to end, in seconds. */
export function gracePeriodOf(pod: Pod): number {
  return pod.metadata?.deletionGracePeriodSeconds ?? pod.spec?.terminationGracePeriodSeconds ?? 30;
}
