import type { Pod } from '@enid/kube';
import { type ContainerStatus, containersOf, isSidecar, restartPolicyOf } from '../pod.ts';

export type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

/**
 * A pod's phase from the states of its containers (pkg/kubelet, getPhase).
 * @param over that nothing of the pod will run any more, as it is deleted.
 */
export function phaseOf(pod: Pod, statuses: ReadonlyMap<string, ContainerStatus>, over: boolean): Phase {
  const all = containersOf(pod).filter(({ kind }) => kind !== 'ephemeral');
  const of = (name: string) => statuses.get(name);
  const regular = all.filter(({ kind }) => kind === 'regular').map(({ spec }) => of(spec.name));
  if (over) {
    const failed = regular.some((status) => status?.state?.terminated?.exitCode !== 0);
    return failed ? 'Failed' : 'Succeeded';
  }

  const begun = regular.some(
    (status) => status?.state?.running ?? status?.state?.terminated ?? hasEndedBefore(status),
  );
  for (const container of all.filter(({ kind }) => kind === 'init')) {
    if (begun || isSidecar(container)) continue;
    const ended = of(container.spec.name)?.state?.terminated;
    if (ended?.exitCode === 0) continue;
    const failed = ended && restartPolicyOf(pod, container) === 'Never';
    return failed ? 'Failed' : 'Pending';
  }

  const running = regular.filter((status) => status?.state?.running);
  const stopped = regular.filter((status) => status?.state?.terminated ?? hasEndedBefore(status));
  if (running.length + stopped.length < regular.length) return 'Pending';
  if (running.length > 0) return 'Running';
  const policy = pod.spec!.restartPolicy ?? 'Always';
  if (policy === 'Always') return 'Running';
  const sidecarsRun = all.some(
    (container) => isSidecar(container) && of(container.spec.name)?.state?.running,
  );
  if (sidecarsRun) return 'Running'; // They end after the others.
  if (stopped.every((status) => status?.state?.terminated?.exitCode === 0)) return 'Succeeded';
  return policy === 'Never' ? 'Failed' : 'Running';
}

/** Whether a container ran before and waits to run again. */
function hasEndedBefore(status: ContainerStatus | undefined): boolean {
  return status?.state?.waiting !== undefined && status.lastState?.terminated !== undefined;
}
