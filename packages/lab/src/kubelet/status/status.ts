import type { Pod } from '@enid/kube';
import { timestamp } from '@enid/kube';
import { containersOf, hasEnded, isHostNetwork, type PodStatus } from '../pod.ts';
import type { Hold } from '../pods/plan.ts';
import type { ProbeResults } from '../probes/results.ts';
import { currentSandbox, type RuntimePod, runsOf } from '../runtime/state.ts';
import { conditionsOf } from './conditions.ts';
import { containerStatusOf } from './containers.ts';
import { type Phase, phaseOf } from './phase.ts';

export type StatusFacts = {
  readonly runtime: RuntimePod;
  readonly holds: ReadonlyMap<string, Hold>;
  readonly probes: (containerId: string) => ProbeResults;
  readonly hostIPs: readonly string[];
  /** As it was told last. */
  readonly previous: PodStatus;
  /** The pod is deleted and all of its containers have ended. */
  readonly over: boolean;
  readonly now: number;
};

/** A pod's status, as far as it is the kubelet's to tell. */
export function statusOf(pod: Pod, facts: StatusFacts): PodStatus {
  const { runtime, previous, over, now } = facts;
  const ended = hasEnded({ status: previous });
  const sandbox = currentSandbox(runtime);
  const all = containersOf(pod);
  const told = new Map(
    [
      ...(previous.initContainerStatuses ?? []),
      ...(previous.containerStatuses ?? []),
      ...(previous.ephemeralContainerStatuses ?? []),
    ].map((status) => [status.name, status]),
  );
  const hasInits = all.some(({ kind }) => kind === 'init');
  const begun = all.some(({ kind, spec }) => kind === 'regular' && runsOf(runtime, spec.name).length > 0);
  const statuses = new Map(
    all.map((container) => {
      const { name } = container.spec;
      const status = containerStatusOf(container, {
        runs: runsOf(runtime, name),
        previous: told.get(name),
        hold: facts.holds.get(name),
        probes: facts.probes,
        initializing: hasInits && !begun,
        over: over || ended,
      });
      return [name, status];
    }),
  );
  // Succeeded and Failed are for ever.
  const phase = ended ? (previous.phase as Phase) : phaseOf(pod, statuses, over);
  const ips = isHostNetwork(pod) ? facts.hostIPs : (sandbox?.ips ?? []);
  // An ended pod's address is told on, although it is another's already.
  const podIPs = ips.length > 0 ? ips.map((ip) => ({ ip })) : ended || over ? (previous.podIPs ?? []) : [];
  const of = (kind: string) => all.filter((c) => c.kind === kind).map(({ spec }) => statuses.get(spec.name)!);
  const ephemeral = of('ephemeral');
  return {
    phase,
    conditions: conditionsOf(pod, {
      statuses,
      phase,
      hasNetwork: sandbox?.ready === true && (isHostNetwork(pod) || sandbox.ips.length > 0),
      previous: previous.conditions ?? [],
      now,
    }),
    ...(previous.reason && { reason: previous.reason }),
    ...(previous.message && { message: previous.message }),
    hostIP: facts.hostIPs[0],
    hostIPs: facts.hostIPs.map((ip) => ({ ip })),
    ...(podIPs.length > 0 && { podIP: podIPs[0]!.ip, podIPs }),
    startTime: previous.startTime ?? timestamp(now),
    ...(hasInits && { initContainerStatuses: of('init') }),
    containerStatuses: of('regular'),
    ...(ephemeral.length > 0 && { ephemeralContainerStatuses: ephemeral }),
  };
}
