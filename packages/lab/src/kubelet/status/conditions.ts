import type { Pod, PodCondition } from '@enid/kube';
import { timestamp } from '@enid/kube';
import { type ContainerStatus, containersOf, isSidecar } from '../pod.ts';
import type { Phase } from './phase.ts';

export type ConditionFacts = {
  readonly statuses: ReadonlyMap<string, ContainerStatus>;
  readonly phase: Phase;
  readonly hasNetwork: boolean;
  /** As they were told last. */
  readonly previous: readonly PodCondition[];
  readonly now: number;
};

type Finding = { readonly status: boolean; readonly reason?: string; readonly message?: string };

/** The conditions that are the kubelet's to tell. Others' are not among them. */
export function conditionsOf(
  pod: Pod,
  { statuses, phase, hasNetwork, previous, now }: ConditionFacts,
): PodCondition[] {
  const all = containersOf(pod);
  const incomplete = all
    .filter(({ kind }) => kind === 'init')
    .filter((container) => {
      const status = statuses.get(container.spec.name);
      return isSidecar(container) ? !status?.started : status?.state?.terminated?.exitCode !== 0;
    });
  const begun = all.some(({ kind, spec }) => {
    const state = kind === 'regular' ? statuses.get(spec.name)?.state : undefined;
    return state?.running ?? state?.terminated;
  });
  const unready = all
    .filter((container) => container.kind === 'regular' || isSidecar(container))
    .filter(({ spec }) => !statuses.get(spec.name)?.ready);

  const initialized: Finding =
    phase === 'Succeeded'
      ? { status: true, reason: 'PodCompleted' }
      : begun || incomplete.length === 0
        ? { status: true }
        : unmet('ContainersNotInitialized', 'incomplete', incomplete);
  const containersReady: Finding =
    phase === 'Succeeded'
      ? { status: false, reason: 'PodCompleted' }
      : phase === 'Failed'
        ? { status: false, reason: 'PodFailed' }
        : unready.length === 0
          ? { status: true }
          : unmet('ContainersNotReady', 'unready', unready);

  const told = (type: string, { status, reason, message }: Finding): PodCondition => {
    const before = previous.find((condition) => condition.type === type);
    const word = status ? 'True' : 'False';
    return {
      type,
      status: word,
      lastTransitionTime: before?.status === word ? before.lastTransitionTime : timestamp(now),
      ...(reason && { reason }),
      ...(message && { message }),
    };
  };
  return [
    told('PodReadyToStartContainers', { status: hasNetwork }),
    told('Initialized', initialized),
    told('Ready', ready(pod, containersReady)),
    told('ContainersReady', containersReady),
  ];
}

/** A pod is ready when its containers are, and whoever else was named agrees. */
function ready(pod: Pod, containers: Finding): Finding {
  if (!containers.status) return containers;
  const given = pod.status?.conditions ?? [];
  const missing = (pod.spec?.readinessGates ?? []).filter(
    ({ conditionType }) => !given.some(({ type, status }) => type === conditionType && status === 'True'),
  );
  if (missing.length === 0) return { status: true };
  const list = missing.map(({ conditionType }) => {
    const found = given.find(({ type }) => type === conditionType);
    return found
      ? `the status of pod readiness gate "${conditionType}" is not "True", but ${found.status}`
      : `corresponding condition of pod readiness gate "${conditionType}" does not exist.`;
  });
  return { status: false, reason: 'ReadinessGatesNotReady', message: list.join(', ') };
}

function unmet(reason: string, what: string, containers: readonly { spec: { name: string } }[]): Finding {
  const names = containers.map(({ spec }) => spec.name).join(' ');
  return { status: false, reason, message: `containers with ${what} status: [${names}]` };
}
