/** What is wrong with objects: by their schema, their metadata, and what each kind demands. */
import type { KubeObject } from '../object.ts';
import type { Resource } from '../registry/resource.ts';
import { schemaOf } from '../registry/schema-of.ts';
import type { Cause } from '../status.ts';
import * as cluster from './cluster.ts';
import * as config from './config.ts';
import { validateDefinition, validateDefinitionUpdate } from './definitions.ts';
import type { Causes } from './errors.ts';
import { validateMetadata, validateMetadataUpdate } from './metadata.ts';
import * as networking from './networking.ts';
import { validatePod, validatePodUpdate } from './pods/pods.ts';
import { validateSchema } from './schema.ts';
import { validateService, validateServiceUpdate } from './services.ts';
import { validateWebhooks } from './webhooks.ts';
import * as workloads from './workloads.ts';

type Check = {
  /** What is wrong with an object, new or changed. */
  readonly object?: (object: KubeObject) => Causes;
  /** What is wrong with the change. */
  readonly update?: (object: KubeObject, old: KubeObject) => Causes;
};

const roles: Check = { object: cluster.validateRole };
const bindings: Check = { object: cluster.validateRoleBinding, update: cluster.validateRoleBindingUpdate };
const selectorUpdate = { update: workloads.validateSelectorUpdate };

/** By kind. */
const CHECKS: Readonly<Record<string, Check>> = {
  'v1/Pod': { object: validatePod, update: validatePodUpdate },
  'v1/Service': { object: validateService, update: validateServiceUpdate },
  'v1/Endpoints': { object: networking.validateEndpoints },
  'v1/ConfigMap': { object: config.validateConfigMap, update: config.validateConfigMapUpdate },
  'v1/Secret': { object: config.validateSecret, update: config.validateSecretUpdate },
  'v1/Node': { object: cluster.validateNode, update: cluster.validateNodeUpdate },
  'apps/v1/Deployment': { object: workloads.validateDeployment, ...selectorUpdate },
  'apps/v1/ReplicaSet': { object: workloads.validateReplicaSet, ...selectorUpdate },
  'apps/v1/DaemonSet': { object: workloads.validateDaemonSet, ...selectorUpdate },
  'apps/v1/StatefulSet': {
    object: workloads.validateStatefulSet,
    update: workloads.validateStatefulSetUpdate,
  },
  'batch/v1/Job': { object: workloads.validateJob, update: workloads.validateJobUpdate },
  'policy/v1/PodDisruptionBudget': { object: workloads.validateBudget },
  'networking.k8s.io/v1/NetworkPolicy': { object: networking.validateNetworkPolicy },
  'networking.k8s.io/v1/Ingress': { object: networking.validateIngress },
  'networking.k8s.io/v1/IngressClass': {
    object: networking.validateIngressClass,
    update: networking.validateIngressClassUpdate,
  },
  'discovery.k8s.io/v1/EndpointSlice': {
    object: networking.validateEndpointSlice,
    update: networking.validateEndpointSliceUpdate,
  },
  'coordination.k8s.io/v1/Lease': { object: cluster.validateLease },
  'scheduling.k8s.io/v1/PriorityClass': { update: cluster.validatePriorityUpdate },
  'rbac.authorization.k8s.io/v1/Role': roles,
  'rbac.authorization.k8s.io/v1/ClusterRole': roles,
  'rbac.authorization.k8s.io/v1/RoleBinding': bindings,
  'rbac.authorization.k8s.io/v1/ClusterRoleBinding': bindings,
  'admissionregistration.k8s.io/v1/MutatingWebhookConfiguration': { object: validateWebhooks },
  'admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration': { object: validateWebhooks },
  'apiextensions.k8s.io/v1/CustomResourceDefinition': {
    object: validateDefinition,
    update: validateDefinitionUpdate,
  },
};

function checkOf({ group, version, kind, custom }: Resource): Check {
  if (custom) return {};
  return CHECKS[`${group ? `${group}/` : ''}${version}/${kind}`] ?? {};
}

/** @param object with defaults. @returns all that is wrong with a new object. */
export function validateCreate(resource: Resource, object: KubeObject): Cause[] {
  return [
    ...validateMetadata(resource, object),
    ...validateSchema(schemaOf(resource), object),
    ...(checkOf(resource).object?.(object) ?? []),
  ];
}

/** @returns all that is wrong with an object that was changed, and with the change. */
export function validateUpdate(resource: Resource, object: KubeObject, old: KubeObject): Cause[] {
  return [
    ...validateMetadataUpdate(object, old),
    ...(checkOf(resource).update?.(object, old) ?? []),
    ...validateCreate(resource, object),
  ];
}
