/** How a container's state is told in its pod's status. */

import { timestamp, type Wire } from '@enid/kube';
import type * as k8s from '@kubernetes/client-node';
import { type ContainerStatus, isSidecar, type KindedContainer } from '../pod.ts';
import type { Hold } from '../pods/plan.ts';
import type { ProbeResults } from '../probes/results.ts';
import type { RuntimeContainer } from '../runtime/state.ts';

type State = Wire<k8s.V1ContainerState>;

export type ContainerFacts = {
  /** Newest first. */
  readonly runs: readonly RuntimeContainer[];
  /** As it was told last. */
  readonly previous: ContainerStatus | undefined;
  readonly hold: Hold | undefined;
  readonly probes: (containerId: string) => ProbeResults;
  /** Whether init containers have to be done first. */
  readonly initializing: boolean;
  /** Nothing of the pod will run any more. */
  readonly over: boolean;
};

const idOf = ({ id }: RuntimeContainer) => `containerd://${id}`;

export function containerStatusOf(container: KindedContainer, facts: ContainerFacts): ContainerStatus {
  const { runs, previous, hold } = facts;
  const [run, before] = runs;
  const waits = hold !== undefined && run?.state === 'exited';
  const last = waits ? run : before;
  const state = stateOf(facts);
  const results = run?.state === 'running' ? facts.probes(run.id) : undefined;
  const done = state.terminated?.exitCode === 0 && container.kind === 'init' && !isSidecar(container);
  return {
    name: container.spec.name,
    image: container.spec.image ?? '',
    imageID: run?.imageRef ?? previous?.imageID ?? '',
    ...(run ? { containerID: idOf(run) } : previous?.containerID && { containerID: previous.containerID }),
    restartCount: run?.attempt ?? previous?.restartCount ?? 0,
    ready: done || (results?.started === true && results.ready),
    started: results?.started ?? false,
    state,
    lastState: last ? { terminated: terminated(last) } : (previous?.lastState ?? {}),
  };
}

function stateOf({ runs: [run], previous, hold, initializing, over }: ContainerFacts): State {
  if (run?.state === 'running') return { running: { startedAt: timestamp(run.startedAt ?? 0) } };
  if (run?.state === 'exited') return hold ? waiting(hold) : { terminated: terminated(run) };
  if (hold) return waiting(hold);
  if (!run && previous?.state?.terminated) return previous.state;
  // The runtime has lost it, by a restart of the node.
  if (!run && previous?.state?.running && over)
    return {
      terminated: {
        exitCode: 137,
        reason: 'ContainerStatusUnknown',
        message: 'The container could not be located when the pod was terminated',
      },
    };
  return { waiting: { reason: initializing ? 'PodInitializing' : 'ContainerCreating' } };
}

function waiting({ reason, message }: Hold): State {
  return { waiting: { reason, message } };
}

function terminated(run: RuntimeContainer): Wire<k8s.V1ContainerStateTerminated> {
  return {
    containerID: idOf(run),
    exitCode: run.exitCode,
    reason: run.reason || (run.exitCode === 0 ? 'Completed' : 'Error'),
    ...(run.message && { message: run.message }),
    ...(run.startedAt !== undefined && { startedAt: timestamp(run.startedAt) }),
    ...(run.finishedAt !== undefined && { finishedAt: timestamp(run.finishedAt) }),
  };
}
