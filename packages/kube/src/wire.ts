import type * as k8s from '@kubernetes/client-node';

/**
 * An object as it is on the wire: times are the strings that the server wrote, and none of their digits is lost. The
 * classes of client-node with `Date` for `string`, as plain data that may be spread and written back.
 */
export type Wire<T> = 0 extends 1 & T
  ? T
  : T extends Date
    ? string
    : T extends readonly (infer E)[]
      ? Wire<E>[]
      : T extends object
        ? { [K in keyof T]: IsOptional<T, K> extends true ? Wire<T[K]> | undefined : Wire<T[K]> }
        : T;

/** Keys of a map (`labels`) are not optional: what is there has a value. */
type IsOptional<T, K extends keyof T> = string extends K
  ? false
  : Record<never, never> extends Pick<T, K>
    ? true
    : false;

/** What is common to all objects. */
export type KubeObject = {
  readonly apiVersion?: string | undefined;
  readonly kind?: string | undefined;
  readonly metadata?: ObjectMeta | undefined;
};

export type ObjectMeta = Wire<k8s.V1ObjectMeta>;
export type OwnerReference = Wire<k8s.V1OwnerReference>;
export type LabelSelector = Wire<k8s.V1LabelSelector>;
export type Pod = Wire<k8s.V1Pod>;
export type PodSpec = Wire<k8s.V1PodSpec>;
export type PodTemplate = Wire<k8s.V1PodTemplateSpec>;
export type PodCondition = Wire<k8s.V1PodCondition>;
export type Node = Wire<k8s.V1Node>;
export type NodeCondition = Wire<k8s.V1NodeCondition>;
export type Taint = Wire<k8s.V1Taint>;
export type Toleration = Wire<k8s.V1Toleration>;
export type Namespace = Wire<k8s.V1Namespace>;
export type Service = Wire<k8s.V1Service>;
export type Endpoints = Wire<k8s.V1Endpoints>;
export type EndpointSlice = Wire<k8s.V1EndpointSlice>;
export type Ingress = Wire<k8s.V1Ingress>;
export type IngressClass = Wire<k8s.V1IngressClass>;
export type ServiceAccount = Wire<k8s.V1ServiceAccount>;
export type ConfigMap = Wire<k8s.V1ConfigMap>;
export type Secret = Wire<k8s.V1Secret>;
export type Lease = Wire<k8s.V1Lease>;
export type Deployment = Wire<k8s.V1Deployment>;
export type ReplicaSet = Wire<k8s.V1ReplicaSet>;
export type DaemonSet = Wire<k8s.V1DaemonSet>;
export type StatefulSet = Wire<k8s.V1StatefulSet>;
export type ControllerRevision = Wire<k8s.V1ControllerRevision>;
export type Job = Wire<k8s.V1Job>;
export type PodDisruptionBudget = Wire<k8s.V1PodDisruptionBudget>;
export type PriorityClass = Wire<k8s.V1PriorityClass>;
export type CoreEvent = Wire<k8s.CoreV1Event>;

/** `namespace/name`, or `name` of what is in no namespace. Names an object within its resource. */
export function keyOf(object: KubeObject): string {
  const { namespace, name } = object.metadata ?? {};
  return namespace ? `${namespace}/${name}` : `${name}`;
}

/** The parts of a {@link keyOf key}. */
export function splitKey(key: string): { readonly namespace: string | undefined; readonly name: string } {
  const slash = key.indexOf('/');
  return slash < 0
    ? { namespace: undefined, name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
