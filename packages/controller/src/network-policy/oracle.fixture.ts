/**
 * What policies allow, for tests: read from the API's specification and evaluated connection by connection. It shares no code
 * with the controller.
 */
import { BlockList, isIPv6 } from 'node:net';
import type { LabelSelector, Pod } from '@enid/kube';
import type { ClusterNetworkPolicy, ClusterSubject, NetworkPolicy } from './objects.ts';

export type Connection = {
  readonly from: { readonly ip: string; readonly pod?: Pod | undefined };
  readonly to: { readonly ip: string; readonly pod?: Pod | undefined };
  readonly protocol: string;
  readonly port: number;
};
export type NamespaceLabels = ReadonlyMap<string, Record<string, string>>;

function matches(selector: LabelSelector | undefined, labels: Record<string, string> = {}): boolean {
  const equal = Object.entries(selector?.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
  return (
    equal &&
    (selector?.matchExpressions ?? []).every(({ key, operator, values }) =>
      operator === 'Exists'
        ? key in labels
        : operator === 'DoesNotExist'
          ? !(key in labels)
          : operator === 'In'
            ? values!.includes(labels[key]!)
            : !values!.includes(labels[key]!),
    )
  );
}

/** A pod that policies know: with an address of its own, and not over. */
const lives = (pod: Pod | undefined) =>
  pod?.status?.podIP !== undefined &&
  !pod.spec?.hostNetwork &&
  !['Succeeded', 'Failed'].includes(pod.status.phase ?? '');

const within = (cidr: string, ip: string) => {
  const list = new BlockList();
  const [net, bits] = cidr.split('/');
  list.addSubnet(net!, Number(bits), isIPv6(net!) ? 'ipv6' : 'ipv4');
  return list.check(ip, isIPv6(ip) ? 'ipv6' : 'ipv4');
};

const numberOf = (name: string, pod: Pod | undefined, protocol: string) =>
  (pod?.spec?.containers ?? [])
    .flatMap(({ ports = [] }) => ports)
    .filter((port) => port.name === name && (port.protocol ?? 'TCP') === protocol)
    .map(({ containerPort }) => containerPort);

export function selectsPod(policy: NetworkPolicy, pod: Pod): boolean {
  return (
    lives(pod) &&
    pod.metadata?.namespace === policy.metadata?.namespace &&
    matches(policy.spec?.podSelector, pod.metadata?.labels)
  );
}

/** Whether one policy allows it to its side's pod, which it selects. */
export function allows(
  policy: NetworkPolicy,
  direction: 'Ingress' | 'Egress',
  { from, to, protocol, port }: Connection,
  namespaces: NamespaceLabels,
): boolean {
  const rules =
    direction === 'Ingress'
      ? (policy.spec?.ingress ?? []).map((rule) => ({ ports: rule.ports, peers: rule.from }))
      : (policy.spec?.egress ?? []).map((rule) => ({ ports: rule.ports, peers: rule.to }));
  const peer = direction === 'Ingress' ? from : to;
  return rules.some(({ ports, peers }) => {
    const onPort =
      !ports?.length ||
      ports.some((wanted) => {
        if ((wanted.protocol ?? 'TCP') !== protocol) return false;
        if (wanted.port === undefined) return true;
        if (typeof wanted.port === 'string')
          return lives(to.pod) && numberOf(wanted.port, to.pod, protocol).includes(port);
        return port >= wanted.port && port <= (wanted.endPort ?? wanted.port);
      });
    if (!onPort) return false;
    if (!peers?.length) return true;
    const named = ports?.length ? ports.every(({ port: wanted }) => typeof wanted === 'string') : false;
    return peers.some(({ ipBlock, namespaceSelector, podSelector }) => {
      if (ipBlock) {
        // Nobody knows the ports' names of what a block names.
        if (direction === 'Egress' && named) return false;
        return within(ipBlock.cidr, peer.ip) && !(ipBlock.except ?? []).some((hole) => within(hole, peer.ip));
      }
      const { pod } = peer;
      if (!pod || !lives(pod)) return false;
      const namespace = pod.metadata!.namespace!;
      const inNamespace = namespaceSelector
        ? namespaces.has(namespace) && matches(namespaceSelector, namespaces.get(namespace))
        : namespace === policy.metadata?.namespace;
      return inNamespace && matches(podSelector, pod.metadata?.labels);
    });
  });
}

export function isSubject(policy: ClusterNetworkPolicy, pod: Pod, namespaces: NamespaceLabels): boolean {
  return inSubject(policy.spec.subject, pod, namespaces);
}

function inSubject({ namespaces: selector, pods }: ClusterSubject, pod: Pod, all: NamespaceLabels): boolean {
  const labels = all.get(pod.metadata!.namespace!);
  if (!lives(pod) || !labels) return false;
  if (selector) return matches(selector, labels);
  return pods
    ? matches(pods.namespaceSelector, labels) && matches(pods.podSelector, pod.metadata?.labels)
    : false;
}

/** What the first rule that fits says. */
export function verdict(
  policy: ClusterNetworkPolicy,
  direction: 'Ingress' | 'Egress',
  { from, to, protocol, port }: Connection,
  namespaces: NamespaceLabels,
): string | undefined {
  const { ingress = [], egress = [] } = policy.spec;
  const rules =
    direction === 'Ingress'
      ? ingress.map((rule) => ({ ...rule, peers: rule.from }))
      : egress.map((rule) => ({ ...rule, peers: rule.to }));
  const peer = direction === 'Ingress' ? from : to;
  return rules.find(
    ({ ports, peers = [] }) =>
      (!ports ||
        ports.some(({ portNumber, portRange, namedPort }) => {
          if (portNumber) return portNumber.protocol === protocol && portNumber.port === port;
          if (portRange)
            return portRange.protocol === protocol && port >= portRange.start && port <= portRange.end;
          return lives(to.pod) && numberOf(namedPort!, to.pod, protocol).includes(port);
        })) &&
      peers.some(
        (each) =>
          each.networks?.some((cidr) => within(cidr, peer.ip)) ||
          (peer.pod !== undefined && inSubject(each, peer.pod, namespaces)),
      ),
  )?.action;
}

type Side = Connection['from'];

/** Whether all policies together allow it: at both of its ends, for what is a pod there. */
export function allowed(
  policies: readonly NetworkPolicy[],
  clusterPolicies: readonly ClusterNetworkPolicy[],
  connection: Connection,
  namespaces: NamespaceLabels,
): boolean {
  return (
    opens('Egress', connection.from, policies, clusterPolicies, connection, namespaces) &&
    opens('Ingress', connection.to, policies, clusterPolicies, connection, namespaces)
  );
}

function opens(
  direction: 'Ingress' | 'Egress',
  { pod }: Side,
  policies: readonly NetworkPolicy[],
  clusterPolicies: readonly ClusterNetworkPolicy[],
  connection: Connection,
  namespaces: NamespaceLabels,
): boolean {
  if (!pod || !lives(pod)) return true;
  const first = (tier: string) =>
    clusterPolicies
      .filter(({ spec }) => spec.tier === tier)
      .toSorted((a, b) => a.spec.priority - b.spec.priority)
      .filter((policy) => isSubject(policy, pod, namespaces))
      .map((policy) => verdict(policy, direction, connection, namespaces))
      .find((action) => action !== undefined);
  const admin = first('Admin');
  if (admin === 'Accept' || admin === 'Deny') return admin === 'Accept';
  const selecting = policies.filter(
    (policy) => selectsPod(policy, pod) && directionsOf(policy).includes(direction),
  );
  if (selecting.length > 0)
    return selecting.some((policy) => allows(policy, direction, connection, namespaces));
  return first('Baseline') !== 'Deny';
}

/** What a policy isolates: as it says, else ingress, and egress when it has rules for it. */
function directionsOf({ spec }: NetworkPolicy): readonly string[] {
  if (spec?.policyTypes?.length) return spec.policyTypes;
  return ['Ingress', ...(spec?.egress?.length ? ['Egress'] : [])];
}
