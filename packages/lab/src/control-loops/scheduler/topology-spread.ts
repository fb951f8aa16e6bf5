import type { Pod, Wire } from '@enid/kube';
import type * as k8s from '@kubernetes/client-node';
import { isDeleted } from '../shared/pods.ts';
import { selects } from '../shared/selectors.ts';
import { untolerated } from '../shared/taints.ts';
import type { Filter } from './filter.ts';
import { withLabelKeys } from './inter-pod-affinity.ts';
import { wantsNode } from './node-affinity.ts';
import type { NodeInfo, Snapshot } from './node-info.ts';

type Constraint = Wire<k8s.V1TopologySpreadConstraint>;

const MISMATCH = "node(s) didn't match pod topology spread constraints";
const MISSING = `${MISMATCH} (missing required label)`;

/** How pods without constraints of their own are spread, if something says which pods are alike. */
const DEFAULTS = [
  { topologyKey: 'kubernetes.io/hostname', maxSkew: 3 },
  { topologyKey: 'topology.kubernetes.io/zone', maxSkew: 5 },
];

const constraintsOf = (pod: Pod, when: string) =>
  pod.spec?.topologySpreadConstraints?.filter(({ whenUnsatisfiable }) => whenUnsatisfiable === when) ?? [];

/** Whether pods on the node count for the constraint. */
function counts(constraint: Constraint, pod: Pod, info: NodeInfo): boolean {
  if ((constraint.nodeAffinityPolicy ?? 'Honor') === 'Honor' && !wantsNode(pod, info)) return false;
  if (constraint.nodeTaintsPolicy !== 'Honor') return true;
  return !untolerated(info.node.spec?.taints, pod.spec?.tolerations);
}

/** How many of the pods that the constraint means are in each domain; domains without any have 0. */
function spreadOf(
  constraint: Constraint,
  pod: Pod,
  nodes: readonly NodeInfo[],
): { readonly counts: Map<string, number>; readonly matches: (pod: Pod) => boolean } {
  const selector = withLabelKeys(constraint.labelSelector, pod, constraint.matchLabelKeys);
  const namespace = pod.metadata?.namespace;
  const matches = (other: Pod) =>
    other.metadata?.namespace === namespace && !isDeleted(other) && selects(selector, other.metadata?.labels);
  const found = new Map<string, number>();
  for (const info of nodes) {
    const domain = info.labels[constraint.topologyKey];
    if (domain === undefined || !counts(constraint, pod, info)) continue;
    let count = found.get(domain) ?? 0;
    for (const other of info.pods) if (matches(other)) count++;
    found.set(domain, count);
  }
  return { counts: found, matches };
}

/** Constraints with DoNotSchedule. */
export function topologySpread(pod: Pod, { nodes }: Snapshot): Filter {
  const hard = constraintsOf(pod, 'DoNotSchedule');
  const eligible = nodes.filter(({ labels }) =>
    hard.every(({ topologyKey }) => labels[topologyKey] !== undefined),
  );
  const prepared = hard.map((constraint) => {
    const spread = spreadOf(constraint, pod, eligible);
    const { topologyKey, maxSkew, minDomains = 1 } = constraint;
    // With fewer domains than wanted, another could be added, with none of the pods.
    const least = spread.counts.size < minDomains ? 0 : Math.min(...spread.counts.values());
    const self = spread.matches(pod) ? 1 : 0;
    return { topologyKey, allowed: least + maxSkew - self, counts: spread.counts };
  });
  return ({ labels }) => {
    for (const { topologyKey, allowed, counts } of prepared) {
      const domain = labels[topologyKey];
      if (domain === undefined) return { reasons: [MISSING], lasting: true };
      if ((counts.get(domain) ?? 0) > allowed) return { reasons: [MISMATCH], lasting: false };
    }
    return undefined;
  };
}

/**
 * How crowded with its like a node would be for the pod, by constraints with ScheduleAnyway or the default ones: less is
 * better. Undefined for a node that lacks a label which the pod's own constraints name.
 */
export function crowding(pod: Pod, snapshot: Snapshot): (node: NodeInfo) => number | undefined {
  const own = constraintsOf(pod, 'ScheduleAnyway');
  const isDefault = (pod.spec?.topologySpreadConstraints ?? []).length === 0;
  const likeness = isDefault ? snapshot.likenessOf(pod) : undefined;
  const soft: readonly Constraint[] = likeness
    ? DEFAULTS.map((d) => ({ ...d, whenUnsatisfiable: 'ScheduleAnyway', labelSelector: likeness }))
    : own;
  const prepared = soft.map((constraint) => {
    const { counts } = spreadOf(constraint, pod, snapshot.nodes);
    // Many domains make a difference in one of them weigh more.
    return { constraint, counts, weight: Math.log(counts.size + 2) };
  });
  return ({ labels }) => {
    let score = 0;
    for (const { constraint, counts, weight } of prepared) {
      const domain = labels[constraint.topologyKey];
      if (domain === undefined) {
        if (isDefault) continue;
        return undefined;
      }
      score += (counts.get(domain) ?? 0) * weight + (constraint.maxSkew - 1);
    }
    return score;
  };
}
