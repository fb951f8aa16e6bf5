import type { Clock, Pod } from '@enid/kube';
import type { CriClient } from '../cri/client.ts';
import { containersOf, isSidecar, type KindedContainer, type Probe, uidOf } from '../pod.ts';
import { type RuntimePod, runsOf } from '../runtime/state.ts';
import { probeOnce } from './probe.ts';
import type { ProbeResults } from './results.ts';

type Kind = 'startup' | 'liveness' | 'readiness';

/** What the probers of one running container have found, and how to end them. */
type Probing = {
  readonly podUid: string;
  readonly probes: ReadonlySet<Kind>;
  /** Of each probe, once it is decided. */
  readonly found: Map<Kind, boolean>;
  readonly stops: Map<Kind, () => void>;
};

export type ProberOptions = {
  readonly client: CriClient;
  readonly clock: Clock;
  /** A probe decided otherwise than before. */
  readonly changed: (podUid: string) => void;
  readonly unhealthy: (pod: Pod, container: KindedContainer, message: string) => void;
};

const NEVER_PROBED: ProbeResults = {
  started: true,
  ready: true,
  livenessFailed: false,
  startupFailed: false,
};

/** Probes the running containers of the node's pods. */
export class Prober {
  readonly #options: ProberOptions;
  readonly #containers = new Map<string, Probing>();

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  results = (containerId: string): ProbeResults => {
    const probing = this.#containers.get(containerId);
    if (!probing) return NEVER_PROBED;
    const { probes, found } = probing;
    const started = !probes.has('startup') || found.get('startup') === true;
    return {
      started,
      ready: started && (!probes.has('readiness') || found.get('readiness') === true),
      livenessFailed: found.get('liveness') === false,
      startupFailed: found.get('startup') === false,
    };
  };

  /** Probes what runs of a pod, and no more what does not. @param podIP where its servers are. */
  update(pod: Pod, runtime: RuntimePod, podIP: string): void {
    const running = new Set<string>();
    for (const container of containersOf(pod)) {
      const [run] = runsOf(runtime, container.spec.name);
      if (run?.state !== 'running' || !(container.kind === 'regular' || isSidecar(container))) continue;
      running.add(run.id);
      if (!this.#containers.has(run.id)) this.#begin(pod, container, run.id, run.startedAt ?? 0, podIP);
    }
    for (const [id, { podUid, stops }] of this.#containers) {
      if (podUid !== uidOf(pod) || running.has(id)) continue;
      for (const stop of stops.values()) stop();
      this.#containers.delete(id);
    }
  }

  /** The pod is ending: nothing of it is to be killed any more for what its probes say, but it may be unready. */
  ending(podUid: string): void {
    for (const probing of this.#containers.values()) {
      if (probing.podUid !== podUid) continue;
      for (const kind of ['liveness', 'startup'] as const) probing.stops.get(kind)?.();
    }
  }

  forget(podUid: string): void {
    for (const [id, probing] of this.#containers) {
      if (probing.podUid !== podUid) continue;
      for (const stop of probing.stops.values()) stop();
      this.#containers.delete(id);
    }
  }

  close(): void {
    for (const { podUid } of this.#containers.values()) this.forget(podUid);
  }

  #begin(pod: Pod, container: KindedContainer, id: string, startedAt: number, podIP: string): void {
    const { startupProbe, livenessProbe, readinessProbe } = container.spec;
    const given = Object.entries({
      startup: startupProbe,
      liveness: livenessProbe,
      readiness: readinessProbe,
    });
    const probes = given.filter((entry): entry is [Kind, Probe] => entry[1] !== undefined);
    if (probes.length === 0) return;
    const probing: Probing = {
      podUid: uidOf(pod),
      probes: new Set(probes.map(([kind]) => kind)),
      found: new Map(),
      stops: new Map(),
    };
    this.#containers.set(id, probing);
    // One that runs since before this kubelet is as ready as it was said to be.
    const told = [
      ...(pod.status?.containerStatuses ?? []),
      ...(pod.status?.initContainerStatuses ?? []),
    ].find(({ containerID }) => containerID === `containerd://${id}`);
    if (told?.started) probing.found.set('startup', true);
    if (told?.ready) probing.found.set('readiness', true);

    const probed = { container: container.spec, containerId: id, podIP };
    const follow = (kind: Kind, probe: Probe) => {
      const stop = this.#repeat(probe, startedAt, async (counts) => {
        if (kind === 'startup' && probing.found.get('startup') === true) return false;
        const { success, output } = await probeOnce(probe, probed, this.#options.client);
        if (!probing.stops.has(kind)) return false;
        if (!success) {
          const name = { startup: 'Startup', liveness: 'Liveness', readiness: 'Readiness' }[kind];
          this.#options.unhealthy(pod, container, `${name} probe failed: ${output}`);
        }
        counts(success, (decided) => {
          if (probing.found.get(kind) === decided) return;
          probing.found.set(kind, decided);
          if (kind === 'startup' && decided) followOthers();
          this.#options.changed(probing.podUid);
        });
        return true;
      });
      probing.stops.set(kind, () => {
        probing.stops.delete(kind);
        stop();
      });
    };
    const followOthers = () => {
      for (const [kind, probe] of probes) if (kind !== 'startup') follow(kind, probe);
    };
    if (startupProbe && !told?.started) follow('startup', startupProbe);
    else followOthers();
  }

  /** Calls again and again what probes once, until it says false. @returns what ends that. */
  #repeat(
    probe: Probe,
    startedAt: number,
    once: (counts: (success: boolean, decide: (success: boolean) => void) => void) => Promise<boolean>,
  ): () => void {
    const { clock } = this.#options;
    const { initialDelaySeconds = 0, periodSeconds = 10, failureThreshold = 3, successThreshold = 1 } = probe;
    let last: boolean | undefined;
    let streak = 0;
    let stopped = false;
    const counts = (success: boolean, decide: (success: boolean) => void) => {
      streak = success === last ? streak + 1 : 1;
      last = success;
      if (streak >= (success ? successThreshold : failureThreshold)) decide(success);
    };
    const run = async () => {
      const begun = clock.now();
      if (!(await once(counts)) || stopped) return;
      cancel = clock.after(Math.max(0, periodSeconds * 1000 - (clock.now() - begun)), run);
    };
    let cancel = clock.after(Math.max(0, startedAt + initialDelaySeconds * 1000 - clock.now()), run);
    return () => {
      stopped = true;
      cancel();
    };
  }
}
