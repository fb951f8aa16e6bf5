import type { DaemonSet, Node, Pod, PodTemplate, Toleration } from '@enid/kube';
import { REVISION_HASH } from '../shared/history.ts';
import { intOrPercent } from '../shared/int-or-percent.ts';
import { isAvailable, isDeleted, isFinished, isReady } from '../shared/pods.ts';
import { hasLabels, matchesNodeSelector } from '../shared/selectors.ts';
import { untolerated } from '../shared/taints.ts';

const EXISTS = { operator: 'Exists' };
const TOLERATED: readonly Toleration[] = [
  { key: 'node.kubernetes.io/not-ready', effect: 'NoExecute', ...EXISTS },
  { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', ...EXISTS },
  { key: 'node.kubernetes.io/disk-pressure', effect: 'NoSchedule', ...EXISTS },
  { key: 'node.kubernetes.io/memory-pressure', effect: 'NoSchedule', ...EXISTS },
  { key: 'node.kubernetes.io/pid-pressure', effect: 'NoSchedule', ...EXISTS },
  { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule', ...EXISTS },
];
const WITH_HOST_NETWORK: Toleration = {
  key: 'node.kubernetes.io/network-unavailable',
  effect: 'NoSchedule',
  ...EXISTS,
};

/** A daemon is on its node whatever becomes of the node. */
export function tolerationsOf({ spec }: PodTemplate): Toleration[] {
  const added = [...TOLERATED, ...(spec?.hostNetwork ? [WITH_HOST_NETWORK] : [])];
  const own = spec?.tolerations ?? [];
  const same = (a: Toleration) => (b: Toleration) =>
    a.key === b.key && a.effect === b.effect && a.operator === b.operator;
  return [...own, ...added.filter((toleration) => !own.some(same(toleration)))];
}

/** The template for a pod on one node: the scheduler, which binds it there, finds no other that fits. */
export function templateFor(template: PodTemplate, nodeName: string, hash: string): PodTemplate {
  const affinity = template.spec?.affinity;
  const matchFields = [{ key: 'metadata.name', operator: 'In', values: [nodeName] }];
  // As the real one does it: the name replaces what was required, which has been checked already.
  return {
    ...template,
    metadata: { ...template.metadata, labels: { ...template.metadata?.labels, [REVISION_HASH]: hash } },
    spec: {
      ...template.spec!,
      affinity: {
        ...affinity,
        nodeAffinity: {
          ...affinity?.nodeAffinity,
          requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [{ matchFields }] },
        },
      },
      tolerations: tolerationsOf(template),
    },
  };
}

/** The node that a daemon is on, or is made for. */
export function nodeOf({ spec }: Pod): string | undefined {
  if (spec?.nodeName) return spec.nodeName;
  const terms =
    spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  return terms.flatMap(({ matchFields = [] }) => matchFields).find(({ key }) => key === 'metadata.name')
    ?.values?.[0];
}

/** Whether a daemon is to be made on the node, and whether one that is there may stay. */
export function fit(template: PodTemplate, node: Node): { readonly run: boolean; readonly stay: boolean } {
  const { spec } = template;
  const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const wanted =
    (!spec?.nodeName || spec.nodeName === node.metadata?.name) &&
    hasLabels(spec?.nodeSelector ?? {}, node.metadata?.labels) &&
    (!required || matchesNodeSelector(required, node));
  if (!wanted) return { run: false, stay: false };
  const tolerations = tolerationsOf(template);
  const taints = node.spec?.taints;
  return {
    run: !untolerated(taints, tolerations),
    stay: !untolerated(taints, tolerations, ['NoExecute']),
  };
}

export type DaemonPlan = {
  /** Nodes that lack a daemon. */
  readonly create: readonly string[];
  readonly remove: readonly Pod[];
  /** Those of {@link remove} that have failed. */
  readonly failed: readonly Pod[];
};

/**
 * What is to be made and removed so that each node that fits has one daemon, and in a rolling update, that it comes to be a
 * new one while no more than `maxUnavailable` are not available; or, with `maxSurge`, while the old one still runs.
 */
export function planDaemons(
  set: DaemonSet,
  nodes: readonly Node[],
  pods: readonly Pod[],
  hash: string,
  now: number,
): DaemonPlan {
  const template = set.spec!.template;
  const byNode = Map.groupBy(pods, (pod) => nodeOf(pod) ?? '');
  const plan = { create: [] as string[], remove: [] as Pod[], failed: [] as Pod[] };
  const running: { readonly node: string; readonly pods: Pod[] }[] = [];
  const isNew = (pod: Pod) => pod.metadata?.labels?.[REVISION_HASH] === hash;
  for (const node of nodes) {
    const name = node.metadata?.name ?? '';
    const there = byNode.get(name) ?? [];
    const live = there.filter((pod) => !isDeleted(pod));
    const { run, stay } = fit(template, node);
    if (!stay) {
      plan.remove.push(...live);
      continue;
    }
    const ended = live.filter(isFinished);
    plan.failed.push(...ended);
    plan.remove.push(...ended);
    const kept = live.filter((pod) => !isFinished(pod)).sort(byCreation);
    const generations = [kept.filter((pod) => !isNew(pod)), kept.filter(isNew)];
    plan.remove.push(...generations.flatMap((pods) => pods.slice(1)));
    const pair = generations.flatMap(([oldest]) => oldest ?? []);
    if (pair.length > 0) running.push({ node: name, pods: pair });
    else if (run && there.length === 0) plan.create.push(name);
  }
  for (const [name, there] of byNode) {
    if (!nodes.some(({ metadata }) => metadata?.name === name))
      plan.remove.push(...there.filter((p) => !isDeleted(p)));
  }
  update(set, running, isNew, nodes.filter((node) => fit(template, node).run).length, now, plan);
  return plan;
}

function update(
  set: DaemonSet,
  running: readonly { readonly node: string; readonly pods: Pod[] }[],
  isNew: (pod: Pod) => boolean,
  desired: number,
  now: number,
  plan: { readonly create: string[]; readonly remove: Pod[] },
): void {
  const { updateStrategy, minReadySeconds = 0 } = set.spec!;
  const available = (pod: Pod) => isAvailable(pod, now, minReadySeconds);
  const maxSurge = intOrPercent(updateStrategy?.rollingUpdate?.maxSurge ?? 0, desired, 'up');
  const part = intOrPercent(updateStrategy?.rollingUpdate?.maxUnavailable ?? 1, desired, 'up');
  const maxUnavailable = part === 0 && maxSurge === 0 ? 1 : part;
  // The old one of a pair goes when the new one is available, or when it is of no use itself.
  for (const { pods } of running) {
    const [old, fresh] = [pods.find((pod) => !isNew(pod)), pods.find(isNew)];
    if (old && fresh && (available(fresh) || !available(old))) plan.remove.push(old);
  }
  if (updateStrategy?.type === 'OnDelete') return;
  const single = running.filter(({ pods }) => pods.length === 1);
  const outdated = single.filter(({ pods: [pod] }) => !isNew(pod!));
  const useless = outdated.filter(({ pods: [pod] }) => !available(pod!));
  const useful = outdated.filter(({ pods: [pod] }) => available(pod!));
  if (maxSurge > 0) {
    const surging = running.filter(({ pods }) => pods.length === 2).length;
    const next = [...useless, ...useful].slice(0, Math.max(maxSurge - surging, 0));
    plan.create.push(...next.map(({ node }) => node));
    return;
  }
  plan.remove.push(...useless.map(({ pods: [pod] }) => pod!));
  const unavailable = desired - running.filter(({ pods }) => pods.some(available)).length;
  plan.remove.push(
    ...useful.slice(0, Math.max(maxUnavailable - unavailable, 0)).map(({ pods: [pod] }) => pod!),
  );
}

function byCreation(a: Pod, b: Pod): number {
  const [x = '', y = ''] = [a.metadata?.creationTimestamp, b.metadata?.creationTimestamp];
  return x < y ? -1 : x > y ? 1 : 0;
}

type Status = NonNullable<DaemonSet['status']>;

export function daemonSetStatus(
  set: DaemonSet,
  nodes: readonly Node[],
  pods: readonly Pod[],
  hash: string,
  now: number,
): Status {
  const byNode = Map.groupBy(
    pods.filter((pod) => !isDeleted(pod)),
    (pod) => nodeOf(pod) ?? '',
  );
  const counts = { desired: 0, current: 0, misscheduled: 0, ready: 0, available: 0, updated: 0 };
  for (const node of nodes) {
    const there = byNode.get(node.metadata?.name ?? '') ?? [];
    if (!fit(set.spec!.template, node).run) {
      if (there.length > 0) counts.misscheduled++;
      continue;
    }
    counts.desired++;
    if (there.length > 0) counts.current++;
    const pod = there.toSorted((a, b) => Number(isReady(b)) - Number(isReady(a)))[0];
    if (!pod) continue;
    if (isReady(pod)) counts.ready++;
    if (isAvailable(pod, now, set.spec?.minReadySeconds)) counts.available++;
    if (pod.metadata?.labels?.[REVISION_HASH] === hash) counts.updated++;
  }
  return {
    ...set.status,
    desiredNumberScheduled: counts.desired,
    currentNumberScheduled: counts.current,
    numberMisscheduled: counts.misscheduled,
    numberReady: counts.ready,
    updatedNumberScheduled: counts.updated || undefined,
    numberAvailable: counts.available || undefined,
    numberUnavailable: counts.desired - counts.available || undefined,
    observedGeneration: set.metadata?.generation,
  };
}
