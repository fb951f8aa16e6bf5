import type { Pod } from '@enid/kube';
import type { Refusal } from './filter.ts';
import { filtersFor } from './filters.ts';
import type { NodeInfo, Snapshot } from './node-info.ts';
import { scoreNodes } from './scores.ts';

export type Decision =
  | { readonly node: NodeInfo; readonly message?: undefined }
  /** Why no node will do. */
  | { readonly node?: undefined; readonly message: string };

/**
 * Decides which node a pod goes to: of those that every filter lets pass the one with the highest score.
 * @param random from 0 up to 1: chooses between equals.
 */
export function decide(pod: Pod, snapshot: Snapshot, random: () => number = Math.random): Decision {
  if (snapshot.nodes.length === 0) return { message: 'no nodes available to schedule pods' };
  const filters = filtersFor(pod, snapshot);
  const refusals: Refusal[] = [];
  const feasible = snapshot.nodes.filter((node) => {
    for (const filter of filters) {
      const refusal = filter(node);
      if (refusal) {
        refusals.push(refusal);
        return false;
      }
    }
    return true;
  });
  if (feasible.length === 0) return { message: explain(pod, refusals) };
  if (feasible.length === 1) return { node: feasible[0]! };
  const scores = scoreNodes(pod, feasible, snapshot);
  const best = Math.max(...scores);
  const equals = feasible.filter((_, i) => scores[i]! >= best - 1e-9);
  return { node: equals[Math.floor(random() * equals.length)]! };
}

/** "0/2 nodes are available: 1 Insufficient cpu, 1 Too many pods. preemption: ..." */
function explain(pod: Pod, refusals: readonly Refusal[]): string {
  const none = `0/${refusals.length} nodes are available`;
  const tell = (reasons: readonly string[]) =>
    [...Map.groupBy(reasons, (reason) => reason)]
      .map(([reason, times]) => `${times.length} ${reason}`)
      .sort()
      .join(', ');
  const why = tell(refusals.flatMap(({ reasons }) => reasons));
  const preemption =
    pod.spec?.preemptionPolicy === 'Never'
      ? 'not eligible due to preemptionPolicy=Never'
      : `${none}: ${tell(
          refusals.map(({ lasting }) =>
            lasting
              ? 'Preemption is not helpful for scheduling'
              : 'No preemption victims found for incoming pod',
          ),
        )}`;
  return `${none}: ${why}. preemption: ${preemption}.`;
}
