/** What the tests of kubectl make, in YAML. */

/** A Deployment `web`. @param more of its container. */
export const deployment = (image: string, more = '') => `
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        image: ${image}
        ports: [{containerPort: 80}]${more}
`;

/** One of each kind that `kubectl describe` is asked for. */
export const EVERYTHING = [
  'kind: Secret\nmetadata: {name: s}\nstringData: {a: b}',
  'apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: alb}\nspec: {controller: a.b/c}',
  'apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i}\nspec:\n  ingressClassName: alb\n  rules: [{host: a.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]',
  'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: np}\nspec: {podSelector: {}, policyTypes: [Ingress]}',
  'apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b}\nspec: {maxUnavailable: 1, selector: {matchLabels: {a: b}}}',
  ...[
    ['DaemonSet', 'd', ''],
    ['StatefulSet', 'st', 'serviceName: web\n  '],
    ['ReplicaSet', 'r', ''],
  ].map(
    ([kind, name, more]) =>
      `apiVersion: apps/v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec:\n  ${more}selector: {matchLabels: {n: ${name}}}\n  template: {metadata: {labels: {n: ${name}}}, spec: {containers: [{name: c, image: i}]}}`,
  ),
  'apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}',
  'apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: r}\nrules: [{apiGroups: [""], resources: [pods], verbs: [get]}]',
  'apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: r}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}\nsubjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: alice}]',
  'apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: r}\nroleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}\nsubjects: [{kind: User, apiGroup: rbac.authorization.k8s.io, name: alice}]',
  'apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: l}\nspec: {holderIdentity: me}',
  'apiVersion: apps/v1\nkind: ControllerRevision\nmetadata: {name: cr}\nrevision: 1\ndata: {}',
  `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {color: {type: string}, replicas: {type: integer}}}
          status: {type: object, properties: {replicas: {type: integer}}}`,
]
  .map((text) => (text.startsWith('apiVersion') ? text : `apiVersion: v1\n${text}`))
  .join('\n---\n');

/** A pod on node n1. */
export const POD = (name: string, tier: string) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {tier: ${tier}}}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
`;

/** What the definition in {@link EVERYTHING} defines. */
export const WIDGET =
  'apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: small}\nspec: {color: red}\n';
