import { type Pod, thousandths, type Wire } from '@enid/kube';
import type * as k8s from '@kubernetes/client-node';

/** Amounts by resource, in thousandths of their unit. */
export type Amounts = ReadonlyMap<string, number>;
type Container = Wire<k8s.V1Container>;

/** What scoring takes a container without requests to need, so that such pods do not all go to one node. */
const UNSAID = { cpu: thousandths('100m'), memory: thousandths('200Mi') };

export function parseAmounts(list: Readonly<Record<string, string>> | undefined): Amounts {
  return new Map(Object.entries(list ?? {}).map(([name, quantity]) => [name, thousandths(quantity)]));
}

function merge(into: Map<string, number>, amounts: Amounts, how: (a: number, b: number) => number): void {
  for (const [name, amount] of amounts) into.set(name, how(into.get(name) ?? 0, amount));
}

const plus = (a: number, b: number) => a + b;

export function addAmounts(into: Map<string, number>, amounts: Amounts): void {
  merge(into, amounts, plus);
}

/**
 * What a pod needs at its neediest moment: its containers and sidecars together, or an init container with the sidecars
 * started before it, whichever is more; and what its runtime takes.
 */
export function podRequests(pod: Pod, of: (container: Container) => Amounts = requested): Amounts {
  const total = new Map<string, number>();
  for (const container of pod.spec?.containers ?? []) addAmounts(total, of(container));
  const sidecars = new Map<string, number>();
  const initially = new Map<string, number>();
  for (const container of pod.spec?.initContainers ?? []) {
    const amounts = of(container);
    if (container.restartPolicy === 'Always') {
      addAmounts(total, amounts);
      addAmounts(sidecars, amounts);
      merge(initially, sidecars, Math.max);
    } else {
      const moment = new Map(sidecars);
      addAmounts(moment, amounts);
      merge(initially, moment, Math.max);
    }
  }
  merge(total, initially, Math.max);
  // What is said for the pod as a whole holds.
  for (const [name, amount] of parseAmounts(pod.spec?.resources?.requests)) total.set(name, amount);
  addAmounts(total, parseAmounts(pod.spec?.overhead));
  return total;
}

const requested = (container: Container) => parseAmounts(container.resources?.requests);

/** As {@link podRequests}, with a guess for what is not said. */
export function podLoad(pod: Pod): Amounts {
  return podRequests(pod, (container) => new Map([...Object.entries(UNSAID), ...requested(container)]));
}
