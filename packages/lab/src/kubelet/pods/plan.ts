/**
 * What is to be done so that a pod is as its object says: a pure function of the object and of what runs
 * (pkg/kubelet/kuberuntime, computePodActions).
 */
import type { Pod } from '@enid/kube';
import {
  containersOf,
  fullNameOf,
  isHostNetwork,
  isSidecar,
  type KindedContainer,
  restartPolicyOf,
  uidOf,
} from '../pod.ts';
import type { ProbeResults } from '../probes/results.ts';
import { currentSandbox, type RuntimeContainer, type RuntimePod, runsOf } from '../runtime/state.ts';
import type { Backoff } from './backoff.ts';

/** Why a container is not started now, as its waiting state tells it, and until when. */
export type Hold = { readonly reason: string; readonly message: string; readonly until: number };

export type Kill = {
  readonly container: KindedContainer;
  readonly run: RuntimeContainer;
  readonly message: string;
  /** In seconds, when it is not the pod's. */
  readonly gracePeriod?: number;
};

export type Plan = {
  /** `stop` when nothing is to run any more. */
  readonly sandbox: 'keep' | 'create' | 'stop';
  readonly kill: readonly Kill[];
  /** In their order. */
  readonly start: readonly KindedContainer[];
  readonly holds: ReadonlyMap<string, Hold>;
};

export type Circumstances = {
  readonly crashes: Backoff;
  /** What the last try to start a container came to, while it is not to be tried again. */
  readonly held: (container: string) => Hold | undefined;
  readonly probes: (containerId: string) => ProbeResults;
};

export const crashKey = (pod: Pod, container: string) => `${uidOf(pod)}/${container}`;

export function planPod(pod: Pod, runtime: RuntimePod, circumstances: Circumstances): Plan {
  const planner = new Planner(pod, runtime, circumstances);
  return planner.plan();
}

class Planner {
  readonly #pod: Pod;
  readonly #runtime: RuntimePod;
  readonly #circumstances: Circumstances;
  readonly #all: readonly KindedContainer[];
  readonly #kill: Kill[] = [];
  readonly #start: KindedContainer[] = [];
  readonly #holds = new Map<string, Hold>();

  constructor(pod: Pod, runtime: RuntimePod, circumstances: Circumstances) {
    this.#pod = pod;
    this.#runtime = runtime;
    this.#circumstances = circumstances;
    this.#all = containersOf(pod);
  }

  plan(): Plan {
    const regular = this.#all.filter(({ kind }) => kind === 'regular');
    // Those of an earlier sandbox count: what is done is done.
    const allDone = regular.every((container) => this.#isDone(container, this.#newest(container)));
    if (allDone) return this.#end();

    const sandbox = currentSandbox(this.#runtime);
    const usable = sandbox?.ready && (isHostNetwork(this.#pod) || sandbox.ips.length > 0);
    if (!usable) {
      const ran = this.#runtime.containers.length > 0;
      if (sandbox && ran && this.#pod.spec!.restartPolicy === 'Never') return this.#end();
      return this.#result('create', this.#running('Pod sandbox changed, it will be killed and re-created.'));
    }

    if (!this.#initialize(sandbox.id)) return this.#result('keep');
    for (const container of [...regular, ...this.#all.filter(({ kind }) => kind === 'ephemeral')])
      this.#tend(container, this.#newest(container, sandbox.id) ?? this.#done(container));
    return this.#result('keep');
  }

  /** Sees to the init containers. @returns whether the others may run; otherwise the plan is complete. */
  #initialize(sandboxId: string): boolean {
    const inits = this.#all.filter(({ kind }) => kind === 'init');
    const initialized = this.#all.some(
      (container) => container.kind === 'regular' && this.#newest(container, sandboxId),
    );
    for (const container of inits) {
      const run = this.#newest(container, sandboxId);
      if (isSidecar(container)) {
        this.#tend(container, run);
        const started = run?.state === 'running' && this.#circumstances.probes(run.id).started;
        if (!started && !initialized) return false;
      } else if (!initialized) {
        if (run?.state === 'exited' && run.exitCode === 0) continue;
        if (run?.state === 'exited' && restartPolicyOf(this.#pod, container) === 'Never') {
          this.#kill.push(...this.#running());
          return false;
        }
        this.#tend(container, run);
        return false;
      }
    }
    return true;
  }

  /** Plans what a container needs whose turn it is. */
  #tend(container: KindedContainer, run: RuntimeContainer | undefined): void {
    const { spec } = container;
    if (run?.state === 'running') {
      const why = this.#reasonToKill(container, run);
      if (why) this.#kill.push({ container, run, ...why });
      return;
    }
    if (run?.state === 'exited' && this.#isDone(container, run)) return;
    const hold = this.#crashLoop(container, run) ?? this.#circumstances.held(spec.name);
    if (hold) this.#holds.set(spec.name, hold);
    else this.#start.push(container);
  }

  #reasonToKill(
    { spec, kind }: KindedContainer,
    run: RuntimeContainer,
  ): { message: string; gracePeriod?: number } | undefined {
    const results = this.#circumstances.probes(run.id);
    const failed = results.startupFailed ? 'startup' : results.livenessFailed ? 'liveness' : undefined;
    if (failed) {
      const probe = failed === 'startup' ? spec.startupProbe : spec.livenessProbe;
      const gracePeriod = probe?.terminationGracePeriodSeconds;
      const message = `Container ${spec.name} failed ${failed} probe, will be restarted`;
      return { message, ...(gracePeriod !== undefined && { gracePeriod }) };
    }
    if (kind === 'regular' && run.image !== (spec.image ?? ''))
      return { message: `Container ${spec.name} definition changed, will be restarted` };
    return undefined;
  }

  #crashLoop({ spec }: KindedContainer, run: RuntimeContainer | undefined): Hold | undefined {
    if (run?.state !== 'exited' || run.finishedAt === undefined) return undefined;
    const wait = this.#circumstances.crashes.waiting(crashKey(this.#pod, spec.name), run.finishedAt);
    if (!wait) return undefined;
    const message = `back-off ${duration(wait.delay)} restarting failed container=${spec.name} pod=${fullNameOf(this.#pod)}`;
    return { reason: 'CrashLoopBackOff', message, until: wait.until };
  }

  /** Whether a container has ended for good. */
  #isDone(container: KindedContainer, run: RuntimeContainer | undefined): boolean {
    if (run?.state !== 'exited') return false;
    const policy = restartPolicyOf(this.#pod, container);
    return policy === 'Never' || (policy === 'OnFailure' && run.exitCode === 0);
  }

  /** The run in an earlier sandbox after which the container need not run again. */
  #done(container: KindedContainer): RuntimeContainer | undefined {
    const run = this.#newest(container);
    return this.#isDone(container, run) ? run : undefined;
  }

  #newest({ spec }: KindedContainer, sandboxId?: string): RuntimeContainer | undefined {
    return runsOf(this.#runtime, spec.name).find((run) => !sandboxId || run.sandboxId === sandboxId);
  }

  #running(message?: string): Kill[] {
    return this.#all.flatMap((container) =>
      runsOf(this.#runtime, container.spec.name)
        .filter(({ state }) => state === 'running')
        .map((run) => ({ container, run, message: message ?? `Stopping container ${container.spec.name}` })),
    );
  }

  #end(): Plan {
    return { sandbox: 'stop', kill: this.#running(), start: [], holds: new Map() };
  }

  #result(sandbox: 'keep' | 'create', kill: readonly Kill[] = this.#kill): Plan {
    return { sandbox, kill, start: this.#start, holds: this.#holds };
  }
}

/** `10s`, `1m20s`, `5m0s`: as Go writes a duration. */
function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
