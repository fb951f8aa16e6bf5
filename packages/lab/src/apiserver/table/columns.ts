/** The columns of what is built in, as the real server prints them. Name comes before these, unless it is among them. */
import type { Fields, StoredObject } from '../object.ts';
import { selectorText } from '../registry/subresources/scale.ts';
import { age, type Column, duration, integer, string, wide } from './column.ts';
import { podColumns } from './pods.ts';

type List = Fields[] | undefined;

const spec = (object: StoredObject): Fields => object.spec ?? {};
const status = (object: StoredObject): Fields => object.status ?? {};
const count = (value: unknown) => Number(value ?? 0);
const size = (value: unknown) => Object.keys((value as object | undefined) ?? {}).length;
const none = (texts: readonly unknown[], empty = '<none>') => (texts.length > 0 ? texts.join(',') : empty);
const selector = (object: StoredObject) => selectorText((spec(object).selector ?? {}) as Fields) || '<none>';
const AGE = string('Age', ({ metadata }, now) => age(metadata.creationTimestamp, now));
const WEBHOOKS = integer('Webhooks', ({ webhooks }) => size(webhooks));
const CREATED = string('Created At', ({ metadata }) => metadata.creationTimestamp);

const templateContainers = (object: StoredObject): Fields[] => {
  const template = spec(object).template as { spec?: { containers?: Fields[] } } | undefined;
  return template?.spec?.containers ?? [];
};
const CONTAINERS = [
  wide(
    string('Containers', (object) =>
      templateContainers(object)
        .map(({ name }) => name)
        .join(','),
    ),
  ),
  wide(
    string('Images', (object) =>
      templateContainers(object)
        .map(({ image }) => image)
        .join(','),
    ),
  ),
];
const SELECTOR = wide(string('Selector', selector));

/** Of how many there are to be; the rest of a workload. */
const replicas: Column[] = [
  integer('Desired', (object) => count(spec(object).replicas)),
  integer('Current', (object) => count(status(object).replicas)),
  integer('Ready', (object) => count(status(object).readyReplicas)),
];

const nodeAddress = (node: StoredObject, type: string) =>
  ((status(node).addresses as List) ?? []).find((address) => address.type === type)?.address ?? '<none>';
const nodeInfo = (node: StoredObject) => (status(node).nodeInfo ?? {}) as Fields;

function nodeStatus(node: StoredObject): string {
  const ready = ((status(node).conditions as List) ?? []).find(({ type }) => type === 'Ready');
  const word = ready?.status === 'True' ? 'Ready' : ready ? 'NotReady' : 'Unknown';
  return spec(node).unschedulable ? `${word},SchedulingDisabled` : word;
}

function nodeRoles(node: StoredObject): string {
  const prefix = 'node-role.kubernetes.io/';
  const labels = Object.keys(node.metadata.labels ?? {}).filter((label) => label.startsWith(prefix));
  return none(labels.map((label) => label.slice(prefix.length)).sort());
}

function externalAddresses(service: StoredObject): string {
  const { type, externalIPs, externalName } = spec(service);
  if (type === 'ExternalName') return String(externalName);
  const ingress = ((status(service).loadBalancer as Fields | undefined)?.ingress ?? []) as Fields[];
  const all = [...ingress.map(({ ip, hostname }) => ip ?? hostname), ...((externalIPs as string[]) ?? [])];
  return none(all, type === 'LoadBalancer' ? '<pending>' : '<none>');
}

function servicePorts(service: StoredObject): string {
  const ports = (spec(service).ports as List) ?? [];
  return none(
    ports.map(({ port, nodePort, protocol }) => `${port}${nodePort ? `:${nodePort}` : ''}/${protocol}`),
  );
}

function endpoints(object: StoredObject): string {
  const all = ((object.subsets as List) ?? []).flatMap(({ addresses, ports }) =>
    ((addresses as List) ?? []).flatMap(({ ip }) =>
      (ports as List)?.length ? (ports as Fields[]).map(({ port }) => `${ip}:${port}`) : [`${ip}`],
    ),
  );
  return atMost(all, 3);
}

function atMost(all: readonly unknown[], limit: number): string {
  if (all.length <= limit) return none(all);
  return `${all.slice(0, limit).join(',')} + ${all.length - limit} more...`;
}

function ingressPorts(ingress: StoredObject): string {
  return spec(ingress).tls ? '80, 443' : '80';
}

function ingressHosts(ingress: StoredObject): string {
  const hosts = ((spec(ingress).rules as List) ?? []).flatMap(({ host }) => host ?? []);
  return hosts.length > 0 ? atMost(hosts, 3) : '*';
}

function ingressAddress(ingress: StoredObject): string {
  const all = ((status(ingress).loadBalancer as Fields | undefined)?.ingress ?? []) as Fields[];
  return all.map(({ ip, hostname }) => ip ?? hostname).join(',');
}

function jobStatus(job: StoredObject): string {
  const conditions = (status(job).conditions as List) ?? [];
  const is = (type: string) =>
    conditions.some((condition) => condition.type === type && condition.status === 'True');
  if (is('Complete')) return 'Complete';
  if (is('Failed')) return 'Failed';
  if (job.metadata.deletionTimestamp) return 'Terminating';
  if (is('Suspended')) return 'Suspended';
  return is('FailureTarget') ? 'FailureTarget' : is('SuccessCriteriaMet') ? 'SuccessCriteriaMet' : 'Running';
}

function jobDuration(job: StoredObject, now: number): string {
  const { startTime, completionTime } = status(job);
  if (typeof startTime !== 'string') return '';
  const end = typeof completionTime === 'string' ? Date.parse(completionTime) : now;
  return duration(end - Date.parse(startTime));
}

function eventObject({ involvedObject }: StoredObject): string {
  const { kind, name } = (involvedObject ?? {}) as Fields;
  return `${String(kind).toLowerCase()}/${name}`;
}

function lastSeen(event: StoredObject, now: number): string {
  const { series, lastTimestamp, eventTime, firstTimestamp } = event as Fields;
  const { lastObservedTime } = (series ?? {}) as Fields;
  return age(lastObservedTime ?? lastTimestamp ?? eventTime ?? firstTimestamp ?? undefined, now);
}

/** By storage. What is not here has a name and an age. */
export const COLUMNS: Record<string, readonly Column[]> = {
  pods: podColumns,
  nodes: [
    string('Status', nodeStatus),
    string('Roles', nodeRoles),
    AGE,
    string('Version', (node) => nodeInfo(node).kubeletVersion),
    wide(string('Internal-IP', (node) => nodeAddress(node, 'InternalIP'))),
    wide(string('External-IP', (node) => nodeAddress(node, 'ExternalIP'))),
    wide(string('OS-Image', (node) => nodeInfo(node).osImage ?? '<unknown>')),
    wide(string('Kernel-Version', (node) => nodeInfo(node).kernelVersion ?? '<unknown>')),
    wide(string('Container-Runtime', (node) => nodeInfo(node).containerRuntimeVersion ?? '<unknown>')),
  ],
  namespaces: [string('Status', (namespace) => status(namespace).phase), AGE],
  services: [
    string('Type', (service) => spec(service).type),
    string('Cluster-IP', (service) => spec(service).clusterIP ?? '<none>'),
    string('External-IP', externalAddresses),
    string('Port(s)', servicePorts),
    AGE,
    wide(
      string('Selector', (service) =>
        none(
          Object.entries((spec(service).selector ?? {}) as Fields).map(([key, value]) => `${key}=${value}`),
        ),
      ),
    ),
  ],
  endpoints: [string('Endpoints', endpoints), AGE],
  'endpointslices.discovery.k8s.io': [
    string('AddressType', ({ addressType }) => addressType),
    string('Ports', (slice) =>
      none(
        ((slice.ports as List) ?? []).map(({ port }) => port ?? '*'),
        '<unset>',
      ),
    ),
    string('Endpoints', (slice) =>
      atMost(
        ((slice.endpoints as List) ?? []).flatMap(({ addresses }) => addresses as string[]),
        3,
      ),
    ),
    AGE,
  ],
  configmaps: [integer('Data', ({ data, binaryData }) => size(data) + size(binaryData)), AGE],
  secrets: [string('Type', ({ type }) => type), integer('Data', ({ data }) => size(data)), AGE],
  serviceaccounts: [integer('Secrets', ({ secrets }) => size(secrets)), AGE],
  events: [
    string('Last Seen', lastSeen),
    string('Type', ({ type }) => type),
    string('Reason', ({ reason }) => reason),
    string('Object', eventObject),
    wide(
      string('Subobject', ({ involvedObject }) => (involvedObject as Fields | undefined)?.fieldPath ?? ''),
    ),
    wide(
      string('Source', ({ source, reportingComponent }) => {
        const { component, host } = (source ?? {}) as Fields;
        return [component ?? reportingComponent, host].filter(Boolean).join(', ');
      }),
    ),
    string('Message', ({ message }) => String(message ?? '').trim()),
    wide(string('First Seen', ({ firstTimestamp, eventTime }, now) => age(firstTimestamp ?? eventTime, now))),
    wide(integer('Count', ({ count: times, series }) => times ?? (series as Fields | undefined)?.count ?? 1)),
    wide(string('Name', ({ metadata }) => metadata.name)),
  ],
  'deployments.apps': [
    string('Ready', (object) => `${count(status(object).readyReplicas)}/${count(spec(object).replicas)}`),
    integer('Up-to-date', (object) => count(status(object).updatedReplicas)),
    integer('Available', (object) => count(status(object).availableReplicas)),
    AGE,
    ...CONTAINERS,
    SELECTOR,
  ],
  'replicasets.apps': [...replicas, AGE, ...CONTAINERS, SELECTOR],
  'statefulsets.apps': [
    string('Ready', (object) => `${count(status(object).readyReplicas)}/${count(spec(object).replicas)}`),
    AGE,
    ...CONTAINERS,
  ],
  'daemonsets.apps': [
    integer('Desired', (object) => count(status(object).desiredNumberScheduled)),
    integer('Current', (object) => count(status(object).currentNumberScheduled)),
    integer('Ready', (object) => count(status(object).numberReady)),
    integer('Up-to-date', (object) => count(status(object).updatedNumberScheduled)),
    integer('Available', (object) => count(status(object).numberAvailable)),
    string('Node Selector', (object) => {
      const template = spec(object).template as Fields | undefined;
      const labels = ((template?.spec as Fields | undefined)?.nodeSelector ?? {}) as Fields;
      return none(Object.entries(labels).map(([key, value]) => `${key}=${value}`));
    }),
    AGE,
    ...CONTAINERS,
    SELECTOR,
  ],
  'controllerrevisions.apps': [
    string('Controller', ({ metadata }) => {
      const owner = metadata.ownerReferences?.find(({ controller }) => controller);
      return owner ? `${owner.kind.toLowerCase()}.${owner.apiVersion.split('/')[0]}/${owner.name}` : '<none>';
    }),
    integer('Revision', ({ revision }) => revision),
    AGE,
  ],
  'jobs.batch': [
    string('Status', jobStatus),
    string('Completions', (job) => {
      const { completions, parallelism } = spec(job);
      const wanted = completions ?? (count(parallelism) > 1 ? `1 of ${parallelism}` : '1');
      return `${count(status(job).succeeded)}/${wanted}`;
    }),
    string('Duration', jobDuration),
    AGE,
    ...CONTAINERS,
    SELECTOR,
  ],
  'ingresses.networking.k8s.io': [
    string('Class', (ingress) => spec(ingress).ingressClassName ?? '<none>'),
    string('Hosts', ingressHosts),
    string('Address', ingressAddress),
    string('Ports', ingressPorts),
    AGE,
  ],
  'ingressclasses.networking.k8s.io': [
    string('Controller', (object) => spec(object).controller),
    string('Parameters', (object) => {
      const parameters = spec(object).parameters as Fields | undefined;
      if (!parameters) return '<none>';
      const { apiGroup, kind, name } = parameters;
      return `${kind}${apiGroup ? `.${apiGroup}` : ''}/${name}`;
    }),
    AGE,
  ],
  'networkpolicies.networking.k8s.io': [
    string('Pod-Selector', (policy) => selectorText((spec(policy).podSelector ?? {}) as Fields) || '<none>'),
    AGE,
  ],
  'poddisruptionbudgets.policy': [
    string('Min Available', (budget) => spec(budget).minAvailable ?? 'N/A'),
    string('Max Unavailable', (budget) => spec(budget).maxUnavailable ?? 'N/A'),
    integer('Allowed Disruptions', (budget) => count(status(budget).disruptionsAllowed)),
    AGE,
  ],
  'leases.coordination.k8s.io': [string('Holder', (lease) => spec(lease).holderIdentity ?? ''), AGE],
  'priorityclasses.scheduling.k8s.io': [
    integer('Value', ({ value }) => value),
    string('Global-Default', ({ globalDefault }) => globalDefault ?? false),
    AGE,
    string('PreemptionPolicy', ({ preemptionPolicy }) => preemptionPolicy ?? 'PreemptLowerPriority'),
  ],
  'mutatingwebhookconfigurations.admissionregistration.k8s.io': [WEBHOOKS, AGE],
  'validatingwebhookconfigurations.admissionregistration.k8s.io': [WEBHOOKS, AGE],
  'customresourcedefinitions.apiextensions.k8s.io': [CREATED],
  'clusterroles.rbac.authorization.k8s.io': [CREATED],
  'roles.rbac.authorization.k8s.io': [CREATED],
  'clusterrolebindings.rbac.authorization.k8s.io': bindingColumns(),
  'rolebindings.rbac.authorization.k8s.io': bindingColumns(),
};

function bindingColumns(): Column[] {
  const subjects = (binding: StoredObject, kind: string) =>
    ((binding.subjects as List) ?? [])
      .filter((subject) => subject.kind === kind)
      .map(({ namespace, name }) => (namespace ? `${namespace}/${name}` : name))
      .join(', ');
  return [
    string('Role', ({ roleRef }) => `${(roleRef as Fields).kind}/${(roleRef as Fields).name}`),
    AGE,
    wide(string('Users', (binding) => subjects(binding, 'User'))),
    wide(string('Groups', (binding) => subjects(binding, 'Group'))),
    wide(string('ServiceAccounts', (binding) => subjects(binding, 'ServiceAccount'))),
  ];
}
