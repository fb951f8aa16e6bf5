/** The values that fields of the built-in types take (`validation.go` of each group), in the order errors list them. */

const protocol = 'SCTP TCP UDP';
const pullPolicy = 'Always IfNotPresent Never';
const nodeOperator = 'In NotIn Exists DoesNotExist Gt Lt';
const selectorOperator = 'In NotIn Exists DoesNotExist';
const accessModes = 'ReadOnlyMany ReadWriteMany ReadWriteOnce ReadWriteOncePod';
const volumeMode = 'Block Filesystem';
const webhook = {
  failurePolicy: 'Fail Ignore',
  matchPolicy: 'Equivalent Exact',
  sideEffects: 'None NoneOnDryRun',
};
const container = { imagePullPolicy: pullPolicy, terminationMessagePolicy: 'File FallbackToLogsOnError' };

/** By type, by field; of a list's field, the values of its items. */
const VALUES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  PodSpec: {
    restartPolicy: 'Always OnFailure Never',
    dnsPolicy: 'ClusterFirstWithHostNet ClusterFirst Default None',
    preemptionPolicy: 'Never PreemptLowerPriority',
  },
  Container: container,
  EphemeralContainer: container,
  ContainerPort: { protocol },
  HTTPGetAction: { scheme: 'HTTP HTTPS' },
  Toleration: { operator: 'Equal Exists Gt Lt', effect: 'NoSchedule PreferNoSchedule NoExecute' },
  Taint: { effect: 'NoSchedule PreferNoSchedule NoExecute' },
  TopologySpreadConstraint: {
    whenUnsatisfiable: 'DoNotSchedule ScheduleAnyway',
    nodeAffinityPolicy: 'Honor Ignore',
    nodeTaintsPolicy: 'Honor Ignore',
  },
  NodeSelectorRequirement: { operator: nodeOperator },
  LabelSelectorRequirement: { operator: selectorOperator },
  PodSecurityContext: { fsGroupChangePolicy: 'Always OnRootMismatch' },
  SecurityContext: { procMount: 'Default Unmasked' },
  SeccompProfile: { type: 'Localhost RuntimeDefault Unconfined' },
  AppArmorProfile: { type: 'Localhost RuntimeDefault Unconfined' },
  PodOS: { name: 'linux windows' },
  HostPathVolumeSource: {
    type: 'BlockDevice CharDevice Directory DirectoryOrCreate File FileOrCreate Socket',
  },
  VolumeMount: { mountPropagation: 'Bidirectional HostToContainer None' },
  ContainerResizePolicy: { restartPolicy: 'NotRequired RestartContainer' },

  ServiceSpec: {
    type: 'ClusterIP ExternalName LoadBalancer NodePort',
    sessionAffinity: 'ClientIP None',
    externalTrafficPolicy: 'Cluster Local',
    internalTrafficPolicy: 'Cluster Local',
    ipFamilies: 'IPv4 IPv6',
    ipFamilyPolicy: 'PreferDualStack RequireDualStack SingleStack',
    trafficDistribution: 'PreferClose PreferSameZone PreferSameNode',
  },
  ServicePort: { protocol },
  EndpointPort: { protocol },
  EndpointSlice: { addressType: 'FQDN IPv4 IPv6' },
  PersistentVolumeClaimSpec: { accessModes, volumeMode },

  DeploymentStrategy: { type: 'Recreate RollingUpdate' },
  DaemonSetUpdateStrategy: { type: 'OnDelete RollingUpdate' },
  StatefulSetUpdateStrategy: { type: 'OnDelete RollingUpdate' },
  StatefulSetSpec: { podManagementPolicy: 'OrderedReady Parallel' },
  StatefulSetPersistentVolumeClaimRetentionPolicy: {
    whenDeleted: 'Delete Retain',
    whenScaled: 'Delete Retain',
  },
  JobSpec: { completionMode: 'Indexed NonIndexed', podReplacementPolicy: 'Failed TerminatingOrFailed' },

  NetworkPolicySpec: { policyTypes: 'Egress Ingress' },
  NetworkPolicyPort: { protocol },
  HTTPIngressPath: { pathType: 'Exact ImplementationSpecific Prefix' },
  IngressClassParametersReference: { scope: 'Cluster Namespace' },
  PodDisruptionBudgetSpec: { unhealthyPodEvictionPolicy: 'AlwaysAllow IfHealthyBudget' },
  PriorityClass: { preemptionPolicy: 'Never PreemptLowerPriority' },
  MutatingWebhook: { ...webhook, reinvocationPolicy: 'IfNeeded Never' },
  ValidatingWebhook: webhook,
  RuleWithOperations: { scope: '* Cluster Namespaced', operations: '* CONNECT CREATE DELETE UPDATE' },
  CustomResourceDefinitionSpec: { scope: 'Cluster Namespaced' },
  CustomResourceConversion: { strategy: 'None Webhook' },
};

/** What a field may be; undefined: anything of its type. */
export function valuesOf(type: string, field: string): readonly string[] | undefined {
  return VALUES[type]?.[field]?.split(' ');
}
