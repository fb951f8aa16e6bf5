/**
 * What the API's types say beside names and types of fields: how lists and maps are merged (the tags `listType`,
 * `listMapKey`, `patchStrategy` and `patchMergeKey` of k8s.io/api), and which texts are quantities.
 */
import type { Schema } from './schema.ts';

/** A list whose items are told apart by a key, in strategic merge patches by the first alone. */
function by(...keys: string[]): Schema {
  return { patchStrategy: 'merge', patchMergeKey: keys[0]!, listType: 'map', listMapKeys: keys };
}

/** The same for server-side apply alone. */
function mapBy(...keys: string[]): Schema {
  return { listType: 'map', listMapKeys: keys };
}

const volumes: Schema = { ...by('name'), patchStrategy: 'merge,retainKeys' };
const atomicMap: Schema = { mapType: 'atomic' };
const set: Schema = { listType: 'set' };
const mergedSet: Schema = { ...set, patchStrategy: 'merge' };
const conditions = by('type');
const quantity: Schema = { format: 'quantity' };
const quantities: Schema = {
  type: 'object',
  additionalProperties: { type: 'string', format: 'quantity' },
};
const container = {
  ports: by('containerPort', 'protocol'),
  env: by('name'),
  volumeMounts: by('mountPath'),
  volumeDevices: by('devicePath'),
};
const conditioned = { conditions };

/** By type, by field. Lists that are not named are atomic, maps granular. */
export const TRAITS: Readonly<Record<string, Readonly<Record<string, Schema>>>> = {
  ObjectMeta: { ownerReferences: by('uid'), finalizers: mergedSet },

  PodSpec: {
    volumes,
    initContainers: by('name'),
    containers: by('name'),
    ephemeralContainers: by('name'),
    nodeSelector: atomicMap,
    imagePullSecrets: by('name'),
    hostAliases: by('ip'),
    topologySpreadConstraints: by('topologyKey', 'whenUnsatisfiable'),
    schedulingGates: by('name'),
    resourceClaims: volumes,
    overhead: quantities,
  },
  Container: container,
  EphemeralContainer: container,
  ContainerPort: { protocol: { default: 'TCP' } },
  ResourceRequirements: { claims: mapBy('name'), limits: quantities, requests: quantities },
  VolumeResourceRequirements: { limits: quantities, requests: quantities },
  ResourceFieldSelector: { divisor: quantity },
  EmptyDirVolumeSource: { sizeLimit: quantity },
  PodStatus: {
    conditions,
    hostIPs: { listType: 'atomic', patchStrategy: 'merge', patchMergeKey: 'ip' },
    podIPs: by('ip'),
    resourceClaimStatuses: volumes,
  },
  ContainerStatus: {
    volumeMounts: by('mountPath'),
    allocatedResourcesStatus: by('name'),
    allocatedResources: quantities,
  },

  ServiceSpec: { ports: by('port', 'protocol'), selector: atomicMap },
  ServicePort: { protocol: { default: 'TCP' } },
  ServiceStatus: conditioned,
  ServiceAccount: { secrets: by('name') },
  NodeSpec: { podCIDRs: mergedSet },
  NodeStatus: { conditions, addresses: by('type'), capacity: quantities, allocatable: quantities },
  NamespaceStatus: conditioned,
  PersistentVolumeClaimStatus: { conditions, capacity: quantities, allocatedResources: quantities },

  DeploymentSpec: { strategy: { patchStrategy: 'retainKeys' } },
  DeploymentStatus: conditioned,
  ReplicaSetStatus: conditioned,
  DaemonSetStatus: conditioned,
  StatefulSetStatus: conditioned,
  JobStatus: { conditions: { listType: 'atomic', patchStrategy: 'merge', patchMergeKey: 'type' } },
  PodFailurePolicyOnExitCodesRequirement: { values: set },

  PodDisruptionBudgetSpec: { selector: { patchStrategy: 'replace' } },
  PodDisruptionBudgetStatus: conditioned,
  Endpoint: { addresses: set },
  MutatingWebhookConfiguration: { webhooks: by('name') },
  ValidatingWebhookConfiguration: { webhooks: by('name') },
  CustomResourceDefinitionStatus: { conditions: mapBy('type') },
  JSONSchemaProps: { 'x-kubernetes-validations': by('rule') },
};

/** Types whose values are owned as a whole (`structType=atomic`). */
export const ATOMIC_TYPES: ReadonlySet<string> = new Set([
  'LocalObjectReference',
  'ObjectReference',
  'SecretKeySelector',
  'ConfigMapKeySelector',
  'FileKeySelector',
  'ObjectFieldSelector',
  'ResourceFieldSelector',
  'TypedLocalObjectReference',
  'NodeSelector',
  'NodeSelectorTerm',
  'LabelSelector',
  'OwnerReference',
  'Subject',
  'RoleRef',
  'EndpointAddress',
  'EndpointPort',
]);

/**
 * Fields that Go's types hold by value, so that they are there in every object: their being there is nobody's doing.
 * Beside them the fields that the models call required.
 */
export const HELD_BY_VALUE: ReadonlySet<string> = new Set([
  'metadata',
  'spec',
  'status',
  'strategy',
  'updateStrategy',
  'template',
  'loadBalancer',
  'resources',
  'nodeInfo',
  'daemonEndpoints',
  'kubeletEndpoint',
  'state',
  'lastState',
  'source',
]);

/** Required fields that may be empty, by type: what decodes to nothing is well there. */
export const MAY_BE_EMPTY: ReadonlySet<string> = new Set([
  'HTTPHeader.value',
  'Sysctl.value',
  'Condition.message',
  'TokenReviewSpec.token',
  'EventSeries.lastObservedTime',
  'Event.eventTime',
]);
