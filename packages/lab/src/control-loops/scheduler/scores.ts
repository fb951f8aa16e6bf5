import type { Pod } from '@enid/kube';
import { matchesNodeTerm } from '../shared/selectors.ts';
import { tolerates } from '../shared/taints.ts';
import { preferredPodAffinity } from './inter-pod-affinity.ts';
import { type NodeInfo, needs, type Snapshot } from './node-info.ts';
import { crowding } from './topology-spread.ts';

/** How good each of the nodes is for the pod, from 0 to 100, in their order. */
type Score = (pod: Pod, nodes: readonly NodeInfo[], snapshot: Snapshot) => number[];

const BEST = 100;

/** The real scheduler's plugins with their default weights. */
const SCORES: readonly { readonly weight: number; readonly score: Score }[] = [
  { weight: 1, score: leastAllocated },
  { weight: 1, score: balancedAllocation },
  { weight: 2, score: preferredNodeAffinity },
  { weight: 2, score: podAffinity },
  { weight: 2, score: spreading },
  { weight: 3, score: preferNoSchedule },
];

/** The sum of all scores for each node, in their order. */
export function scoreNodes(pod: Pod, nodes: readonly NodeInfo[], snapshot: Snapshot): number[] {
  const totals = nodes.map(() => 0);
  for (const { weight, score } of SCORES) {
    score(pod, nodes, snapshot).forEach((value, i) => {
      totals[i]! += weight * value;
    });
  }
  return totals;
}

/** The part of CPU and of memory that would be taken, with the pod. */
function fractions(pod: Pod, { allocatable, load }: NodeInfo): number[] {
  return ['cpu', 'memory'].map((name) => {
    const capacity = allocatable.get(name) ?? 0;
    if (capacity === 0) return 1;
    return Math.min(((load.get(name) ?? 0) + (needs(pod).load.get(name) ?? 0)) / capacity, 1);
  });
}

function leastAllocated(pod: Pod, nodes: readonly NodeInfo[]): number[] {
  return nodes.map((node) => {
    const taken = fractions(pod, node);
    return (BEST * taken.reduce((sum, fraction) => sum + (1 - fraction), 0)) / taken.length;
  });
}

/** Better where CPU and memory would be taken in like parts. */
function balancedAllocation(pod: Pod, nodes: readonly NodeInfo[]): number[] {
  return nodes.map((node) => {
    const [cpu = 0, memory = 0] = fractions(pod, node);
    return BEST * (1 - Math.abs(cpu - memory) / 2);
  });
}

function preferredNodeAffinity(pod: Pod, nodes: readonly NodeInfo[]): number[] {
  const terms = pod.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  return toBest(
    nodes.map(({ node }) =>
      terms.reduce(
        (sum, { weight, preference }) => sum + (matchesNodeTerm(preference, node) ? weight : 0),
        0,
      ),
    ),
  );
}

function preferNoSchedule(pod: Pod, nodes: readonly NodeInfo[]): number[] {
  const untolerated = nodes.map(
    ({ node }) =>
      (node.spec?.taints ?? []).filter(
        (taint) =>
          taint.effect === 'PreferNoSchedule' && !pod.spec?.tolerations?.some((t) => tolerates(t, taint)),
      ).length,
  );
  return toBest(untolerated).map((value) => BEST - value);
}

function podAffinity(pod: Pod, nodes: readonly NodeInfo[], snapshot: Snapshot): number[] {
  const values = nodes.map(preferredPodAffinity(pod, snapshot));
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return values.map((value) => (most > least ? (BEST * (value - least)) / (most - least) : 0));
}

function spreading(pod: Pod, nodes: readonly NodeInfo[], snapshot: Snapshot): number[] {
  const values = nodes.map(crowding(pod, snapshot));
  const known = values.filter((value) => value !== undefined);
  const [least, most] = [Math.min(...known), Math.max(...known)];
  return values.map((value) => {
    if (value === undefined) return 0;
    return most > 0 ? (BEST * (most + least - value)) / most : BEST;
  });
}

/** Scales so that the highest is 100. */
function toBest(values: readonly number[]): number[] {
  const most = Math.max(...values);
  return values.map((value) => (most > 0 ? (BEST * value) / most : 0));
}
