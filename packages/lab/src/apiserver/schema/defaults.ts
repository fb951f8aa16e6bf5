/** Completes objects with what they leave out. */
import { type Fields, isFields, type KubeObject } from '../object.ts';
import * as cluster from './defaults/cluster.ts';
import * as network from './defaults/network.ts';
import { defaultPod } from './defaults/pods.ts';
import * as workloads from './defaults/workloads.ts';
import { structuredCopy } from './prune.ts';
import type { Schema } from './schema.ts';

type Named = { readonly group: string; readonly kind: string };

/** By model. */
const DEFAULTS: Readonly<Record<string, (object: Fields) => void>> = {
  V1Pod: defaultPod,
  V1Deployment: workloads.defaultDeployment,
  V1ReplicaSet: workloads.defaultReplicaSet,
  V1DaemonSet: workloads.defaultDaemonSet,
  V1StatefulSet: workloads.defaultStatefulSet,
  V1Job: workloads.defaultJob,
  V1Service: network.defaultService,
  V1Endpoints: network.defaultEndpoints,
  V1EndpointSlice: network.defaultEndpointSlice,
  V1NetworkPolicy: network.defaultNetworkPolicy,
  V1IngressClass: network.defaultIngressClass,
  V1RoleBinding: cluster.defaultBinding,
  V1ClusterRoleBinding: cluster.defaultBinding,
  V1Secret: cluster.defaultSecret,
  V1PriorityClass: cluster.defaultPriorityClass,
  V1Node: cluster.defaultNode,
  V1MutatingWebhookConfiguration: cluster.defaultWebhooks,
  V1ValidatingWebhookConfiguration: cluster.defaultWebhooks,
  V1CustomResourceDefinition: cluster.defaultDefinition,
};

/** Sets in place what the object leaves out: by Kubernetes' defaulting functions, or by a custom schema's defaults. */
export function applyDefaults(_resource: Named, schema: Schema, object: KubeObject): void {
  if (schema.model === undefined) defaultCustom(schema, object);
  else DEFAULTS[schema.model]?.(object);
}

function defaultCustom(schema: Schema, value: unknown): void {
  if (Array.isArray(value)) {
    if (schema.items) for (const item of value) defaultCustom(schema.items, item);
    return;
  }
  if (!isFields(value)) return;
  for (const [name, child] of schema.properties ?? []) {
    if (!child.custom) continue;
    // An object that was stored before there was a default may have a null there.
    const isMissing = !Object.hasOwn(value, name) || (value[name] === null && !child.nullable);
    if (isMissing && child.default !== undefined) {
      value[name] = structuredCopy(child.default);
    }
    if (Object.hasOwn(value, name)) defaultCustom(child, value[name]);
  }
  const { additionalProperties } = schema;
  if (!additionalProperties || additionalProperties === true) return;
  for (const name of Object.keys(value)) {
    if (!schema.properties?.has(name)) defaultCustom(additionalProperties, value[name]);
  }
}
