/** What the kubelet reads from a pod's object. */

import type { Pod, Wire } from '@enid/kube';
import type * as k8s from '@kubernetes/client-node';

export type Container = Wire<k8s.V1Container>;
export type ContainerStatus = Wire<k8s.V1ContainerStatus>;
export type PodStatus = Wire<k8s.V1PodStatus>;
export type Probe = Wire<k8s.V1Probe>;
export type LifecycleHandler = Wire<k8s.V1LifecycleHandler>;
export type HttpGet = Wire<k8s.V1HTTPGetAction>;
export type Volume = Wire<k8s.V1Volume>;
export type VolumeMount = Wire<k8s.V1VolumeMount>;

export const uidOf = (pod: Pod): string => pod.metadata!.uid!;
export const nameOf = (pod: Pod): string => pod.metadata!.name!;
export const namespaceOf = (pod: Pod): string => pod.metadata!.namespace!;

/** `name_namespace(uid)`, as messages of the kubelet name a pod. */
export const fullNameOf = (pod: Pod): string => `${nameOf(pod)}_${namespaceOf(pod)}(${uidOf(pod)})`;

export const isHostNetwork = (pod: Pod): boolean => pod.spec?.hostNetwork === true;

/** Succeeded and Failed are for ever. */
export function hasEnded(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

export type ContainerKind = 'init' | 'regular' | 'ephemeral';
export type KindedContainer = { readonly kind: ContainerKind; readonly spec: Container };

/** All containers of a pod, in the order in which they begin. */
export function containersOf(pod: Pod): KindedContainer[] {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec!;
  return [
    ...initContainers.map((spec) => ({ kind: 'init' as const, spec })),
    ...containers.map((spec) => ({ kind: 'regular' as const, spec })),
    ...ephemeralContainers.map((spec) => ({ kind: 'ephemeral' as const, spec: spec as Container })),
  ];
}

/** An init container that goes on running beside the others. */
export function isSidecar({ kind, spec }: KindedContainer): boolean {
  return kind === 'init' && spec.restartPolicy === 'Always';
}

/** When a container of the pod is started again after it has ended. */
export function restartPolicyOf(pod: Pod, container: KindedContainer): 'Always' | 'OnFailure' | 'Never' {
  if (isSidecar(container)) return 'Always';
  if (container.kind === 'ephemeral') return 'Never';
  const policy = (pod.spec!.restartPolicy ?? 'Always') as 'Always' | 'OnFailure' | 'Never';
  // What has to be done before the others begin is done once.
  return container.kind === 'init' && policy === 'Always' ? 'OnFailure' : policy;
}

/** `spec.containers{web}`: the part of a pod that an event is about. */
export function fieldPathOf({ kind, spec }: KindedContainer): string {
  const list = { init: 'initContainers', regular: 'containers', ephemeral: 'ephemeralContainers' }[kind];
  return `spec.${list}{${spec.name}}`;
}

/** The number of a port that is given by number or by its name in the container. */
export function portOf(container: Container, port: number | string | undefined): number {
  if (typeof port === 'number') return port;
  if (/^\d+$/.test(port ?? '')) return Number(port);
  const found = container.ports?.find(({ name }) => name === port);
  if (!found) throw new Error(`container ${container.name} has no port named "${port}"`);
  return found.containerPort;
}
