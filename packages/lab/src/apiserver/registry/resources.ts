/** The resources that are built in, each of which something in the cluster acts on: all that is the same for each of them, in one table. */
import { type Resource, resource } from './resource.ts';

const all = ['all'];
const api = ['api-extensions'];
const create = ['create'];

/** In the order of discovery: a group's resources one after another. */
export const BUILT_IN: readonly Resource[] = [
  resource('v1', 'Binding', { verbs: create, storage: 'none' }),
  resource('v1', 'ConfigMap', { short: 'cm' }),
  resource('v1', 'Endpoints', { plural: 'endpoints', short: 'ep' }),
  resource('v1', 'Event', { short: 'ev' }),
  resource('v1', 'Namespace', { short: 'ns', cluster: true, status: true, sub: 'finalize' }),
  resource('v1', 'Node', { short: 'no', cluster: true, status: true }),
  resource('v1', 'Pod', {
    short: 'po',
    categories: all,
    status: true,
    sub: 'attach binding ephemeralcontainers eviction exec log portforward',
  }),
  resource('v1', 'Secret'),
  resource('v1', 'Service', { short: 'svc', categories: all, status: true }),
  resource('v1', 'ServiceAccount', { short: 'sa', sub: 'token' }),

  resource('apps/v1', 'ControllerRevision'),
  resource('apps/v1', 'DaemonSet', { short: 'ds', categories: all, status: true, generation: true }),
  resource('apps/v1', 'Deployment', {
    short: 'deploy',
    categories: all,
    status: true,
    sub: 'scale',
    generation: true,
  }),
  resource('apps/v1', 'ReplicaSet', {
    short: 'rs',
    categories: all,
    status: true,
    sub: 'scale',
    generation: true,
  }),
  resource('apps/v1', 'StatefulSet', {
    short: 'sts',
    categories: all,
    status: true,
    sub: 'scale',
    generation: true,
  }),

  resource('events.k8s.io/v1', 'Event', { short: 'ev', storage: 'events' }),

  resource('authentication.k8s.io/v1', 'SelfSubjectReview', {
    cluster: true,
    verbs: create,
    storage: 'none',
  }),
  resource('authentication.k8s.io/v1', 'TokenReview', { cluster: true, verbs: create, storage: 'none' }),
  resource('authorization.k8s.io/v1', 'SelfSubjectAccessReview', {
    cluster: true,
    verbs: create,
    storage: 'none',
  }),
  resource('authorization.k8s.io/v1', 'SelfSubjectRulesReview', {
    cluster: true,
    verbs: create,
    storage: 'none',
  }),
  resource('authorization.k8s.io/v1', 'SubjectAccessReview', {
    cluster: true,
    verbs: create,
    storage: 'none',
  }),

  resource('batch/v1', 'Job', { categories: all, status: true, generation: true }),

  resource('networking.k8s.io/v1', 'IngressClass', { cluster: true, generation: true }),
  resource('networking.k8s.io/v1', 'Ingress', { short: 'ing', status: true, generation: true }),
  resource('networking.k8s.io/v1', 'NetworkPolicy', { short: 'netpol', generation: true }),

  resource('policy/v1', 'PodDisruptionBudget', { short: 'pdb', status: true, generation: true }),

  resource('rbac.authorization.k8s.io/v1', 'ClusterRoleBinding', { cluster: true }),
  resource('rbac.authorization.k8s.io/v1', 'ClusterRole', { cluster: true }),
  resource('rbac.authorization.k8s.io/v1', 'RoleBinding'),
  resource('rbac.authorization.k8s.io/v1', 'Role'),

  resource('admissionregistration.k8s.io/v1', 'MutatingWebhookConfiguration', {
    categories: api,
    cluster: true,
    generation: true,
  }),
  resource('admissionregistration.k8s.io/v1', 'ValidatingWebhookConfiguration', {
    categories: api,
    cluster: true,
    generation: true,
  }),

  resource('apiextensions.k8s.io/v1', 'CustomResourceDefinition', {
    short: 'crd crds',
    categories: api,
    cluster: true,
    status: true,
    generation: true,
  }),

  resource('scheduling.k8s.io/v1', 'PriorityClass', { short: 'pc', cluster: true, generation: true }),
  resource('coordination.k8s.io/v1', 'Lease'),
  resource('discovery.k8s.io/v1', 'EndpointSlice', { generation: true }),
];
