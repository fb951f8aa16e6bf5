import { keyOf, type LabelSelector, type Pod } from '@enid/kube';
import type { ClusterState } from '../shared/cluster.ts';
import { controllerOf } from '../shared/owners.ts';
import { isFinished } from '../shared/pods.ts';
import { hasLabels } from '../shared/selectors.ts';
import { type NodeInfo, nodeInfo, type Snapshot } from './node-info.ts';

/**
 * What is on each node, with the pods that have been given to it and are not seen there yet. Nodes on which nothing has
 * changed are not looked at again.
 */
export class NodeInfos {
  readonly #state: ClusterState;
  readonly #infos = new Map<string, NodeInfo>();
  /** By uid: pods as they will be. */
  readonly #assumed = new Map<string, Pod>();
  readonly #assumedOn = new Map<string, Set<string>>();

  constructor(state: ClusterState) {
    this.#state = state;
  }

  /** Forgets what was known of a node. */
  changed(nodeName: string | undefined): void {
    if (nodeName) this.#infos.delete(nodeName);
  }

  isAssumed(pod: Pod): boolean {
    return this.#assumed.has(pod.metadata?.uid ?? '');
  }

  /** Counts a pod as on the node from now on. */
  assume(pod: Pod, nodeName: string): void {
    const uid = pod.metadata?.uid ?? '';
    this.#assumed.set(uid, { ...pod, spec: { ...pod.spec!, nodeName } });
    const on = this.#assumedOn.get(nodeName) ?? new Set();
    this.#assumedOn.set(nodeName, on.add(uid));
    this.changed(nodeName);
  }

  /** The pod has been seen where it is, or is nowhere. */
  forget(pod: Pod): void {
    const uid = pod.metadata?.uid ?? '';
    const assumed = this.#assumed.get(uid);
    if (!assumed) return;
    this.#assumed.delete(uid);
    const nodeName = assumed.spec!.nodeName!;
    const on = this.#assumedOn.get(nodeName);
    on?.delete(uid);
    if (on?.size === 0) this.#assumedOn.delete(nodeName);
    this.changed(nodeName);
  }

  snapshot(): Snapshot {
    const { nodes, namespaces } = this.#state;
    return {
      nodes: nodes.list().map((node) => {
        const name = keyOf(node);
        let info = this.#infos.get(name);
        if (info?.node !== node) {
          info = nodeInfo(node, this.#podsOn(name));
          this.#infos.set(name, info);
        }
        return info;
      }),
      namespaceLabels: (name) => namespaces.get(name)?.metadata?.labels ?? {},
      likenessOf: (pod) => likenessOf(pod, this.#state),
    };
  }

  #podsOn(name: string): Pod[] {
    const seen = this.#state.pods.by('node', name).filter((pod) => !isFinished(pod));
    const assumed = [...(this.#assumedOn.get(name) ?? [])].map((uid) => this.#assumed.get(uid)!);
    return [...seen, ...assumed];
  }
}

/** The selectors of the pod's Services and of its ReplicaSet or StatefulSet, together. */
function likenessOf(pod: Pod, state: ClusterState): LabelSelector | undefined {
  const { namespace = '', labels = {} } = pod.metadata ?? {};
  const matchLabels: Record<string, string> = {};
  for (const { spec } of state.services.by('namespace', namespace)) {
    const selector = spec?.selector;
    if (selector && Object.keys(selector).length > 0 && hasLabels(selector, labels)) {
      Object.assign(matchLabels, selector);
    }
  }
  const owner = controllerOf(pod);
  const key = `${namespace}/${owner?.name}`;
  const set =
    owner?.kind === 'ReplicaSet'
      ? state.replicaSets.get(key)
      : owner?.kind === 'StatefulSet'
        ? state.statefulSets.get(key)
        : undefined;
  Object.assign(matchLabels, set?.spec?.selector.matchLabels);
  const matchExpressions = set?.spec?.selector.matchExpressions;
  if (Object.keys(matchLabels).length === 0 && !matchExpressions?.length) return undefined;
  return { matchLabels, ...(matchExpressions && { matchExpressions }) };
}
