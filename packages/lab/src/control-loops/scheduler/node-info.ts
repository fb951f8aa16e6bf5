import type { LabelSelector, Node, Pod } from '@enid/kube';
import type { Labels } from '../shared/selectors.ts';
import { type Amounts, addAmounts, parseAmounts, podLoad, podRequests } from './resources.ts';

export type HostPort = { readonly ip: string; readonly protocol: string; readonly port: number };

/** A node with what is on it, as decisions need it. */
export type NodeInfo = {
  readonly node: Node;
  readonly name: string;
  readonly labels: Labels;
  readonly pods: readonly Pod[];
  readonly allocatable: Amounts;
  readonly requested: Amounts;
  /** Requests with a guess for what is not said. */
  readonly load: Amounts;
  readonly ports: readonly HostPort[];
  /** Those of the pods that will not have certain others near them. */
  readonly exclusive: readonly Pod[];
};

/** The cluster at the moment of a decision. */
export type Snapshot = {
  readonly nodes: readonly NodeInfo[];
  readonly namespaceLabels: (namespace: string) => Labels;
  /** What selects the pod and its like: of its Services and its owner. */
  readonly likenessOf: (pod: Pod) => LabelSelector | undefined;
};

/** @param pods those on the node that have not ended. */
export function nodeInfo(node: Node, pods: readonly Pod[]): NodeInfo {
  const requested = new Map<string, number>();
  const load = new Map<string, number>();
  for (const pod of pods) {
    addAmounts(requested, needs(pod).requests);
    addAmounts(load, needs(pod).load);
  }
  return {
    node,
    name: node.metadata?.name ?? '',
    labels: node.metadata?.labels ?? {},
    pods,
    allocatable: parseAmounts(node.status?.allocatable ?? node.status?.capacity),
    requested,
    load,
    ports: pods.flatMap(hostPorts),
    exclusive: pods.filter((pod) => pod.spec?.affinity?.podAntiAffinity),
  };
}

type Needs = { readonly requests: Amounts; readonly load: Amounts };
const cache = new WeakMap<Pod, Needs>();

/** What a pod needs, computed once for each state of it. */
export function needs(pod: Pod): Needs {
  let found = cache.get(pod);
  if (!found) {
    found = { requests: podRequests(pod), load: podLoad(pod) };
    cache.set(pod, found);
  }
  return found;
}

export function hostPorts(pod: Pod): HostPort[] {
  const sidecars = pod.spec?.initContainers?.filter(({ restartPolicy }) => restartPolicy === 'Always') ?? [];
  return [...sidecars, ...(pod.spec?.containers ?? [])].flatMap(({ ports = [] }) =>
    ports.flatMap(({ hostPort, hostIP, protocol }) =>
      hostPort ? [{ ip: hostIP || '0.0.0.0', protocol: protocol ?? 'TCP', port: hostPort }] : [],
    ),
  );
}

/** Two claims on one port conflict when they are for the same address, or one is for all. */
export function conflict(a: HostPort, b: HostPort): boolean {
  const everywhere = a.ip === '0.0.0.0' || b.ip === '0.0.0.0';
  return a.port === b.port && a.protocol === b.protocol && (everywhere || a.ip === b.ip);
}
