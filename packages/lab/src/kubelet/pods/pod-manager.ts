import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pod } from '@enid/kube';
import type { PodSandbox } from '../cri/types.ts';
import { hasEnded, uidOf } from '../pod.ts';
import { POD_UID } from '../runtime/labels.ts';
import { readRuntimePod } from '../runtime/state.ts';
import { type PodContext, tell } from './context.ts';
import { PodWorker } from './pod-worker.ts';
import { cleanUp } from './terminate.ts';

const RELIST = 10_000;
/** For what nobody knows any more: its pod's own grace is not known either. In seconds. */
const ORPHAN_GRACE = 2;

/** The pods of the node: a worker for each, and an end for what belongs to none. */
export class PodManager {
  readonly #context: PodContext;
  readonly #maxPods: number;
  readonly #workers = new Map<string, PodWorker>();
  #seen = '';
  #cancelRelist: (() => void) | undefined;
  #relisting: Promise<void> | undefined;
  #closed = false;

  constructor(context: PodContext, maxPods: number) {
    this.#context = context;
    this.#maxPods = maxPods;
  }

  /** The pods of this node, as the API has them. */
  get pods(): Pod[] {
    return [...this.#workers.values()].map(({ pod }) => pod);
  }

  /** A pod's object has changed; `now` is undefined when it is gone. */
  changed(old: Pod | undefined, now: Pod | undefined): void {
    // One of the same name but another identity is another pod: the first is gone.
    if (old && (!now || uidOf(old) !== uidOf(now))) this.#workers.get(uidOf(old))?.remove();
    if (!now) return;
    const uid = uidOf(now);
    const known = this.#workers.get(uid);
    if (known) {
      known.update(now);
      return;
    }
    this.#admit(now);
    const worker = new PodWorker(this.#context, now, () => this.#workers.delete(uid));
    this.#workers.set(uid, worker);
    worker.poke();
  }

  /** Something outside of the pod may have changed what it needs. */
  poke(podUid: string): void {
    this.#workers.get(podUid)?.poke();
  }

  /** An object that the pod uses has changed. */
  retry(podUid: string): void {
    this.#workers.get(podUid)?.retry();
  }

  pokeAll(): void {
    for (const worker of this.#workers.values()) worker.poke();
  }

  /** A container or sandbox has ended. */
  taskEnded(id: string): void {
    // One that no worker has is just being begun, and will be looked at next.
    for (const worker of this.#workers.values()) if (worker.has(id)) worker.poke();
  }

  /** From when all pods are known: ends what belongs to none, and looks again and again for what was missed. */
  async start(): Promise<void> {
    await this.#relist();
    const again = () => {
      if (this.#closed) return;
      this.#cancelRelist = this.#context.clock.after(RELIST, async () => {
        await this.#relist();
        again();
      });
    };
    again();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelRelist?.();
    await this.#relisting;
    await Promise.all([...this.#workers.values()].map((worker) => worker.close()));
  }

  /** Pods beyond what the node may have fail, unless they run already. */
  #admit(pod: Pod): void {
    const begun = pod.status?.containerStatuses?.some(({ containerID }) => containerID);
    if (hasEnded(pod) || begun || pod.metadata?.deletionTimestamp) return;
    const active = this.pods.filter((other) => !hasEnded(other)).length;
    if (active < this.#maxPods) return;
    const message = `Node didn't have enough resource: pods, requested: 1, used: ${active}, capacity: ${this.#maxPods}`;
    tell(this.#context, pod, 'Warning', 'OutOfpods', message);
    const status = { ...pod.status, phase: 'Failed', reason: 'OutOfpods', message };
    this.#context.statuses.publish(pod, status);
  }

  #relist(): Promise<void> {
    this.#relisting = this.#look()
      .catch((error) => {
        this.#context.log.error({ err: error }, 'the runtime could not be asked what runs');
      })
      .finally(() => {
        this.#relisting = undefined;
      });
    return this.#relisting;
  }

  async #look(): Promise<void> {
    const { cri } = this.#context;
    const [sandboxes, containers] = await Promise.all([cri.listPodSandbox(), cri.listContainers()]);
    const states = [...sandboxes, ...containers].map(({ id, state }) => `${id} ${state}`).sort();
    const seen = states.join('\n');
    if (seen !== this.#seen) this.pokeAll();
    this.#seen = seen;

    const orphans = Map.groupBy(
      sandboxes.filter(({ labels }) => labels[POD_UID] && !this.#workers.has(labels[POD_UID])),
      ({ labels }) => labels[POD_UID]!,
    );
    for (const [uid, [sandbox]] of orphans) await this.#removeOrphan(uid, sandbox);
    for (const uid of await readdir(this.#context.paths.pods).catch(() => []))
      if (!this.#workers.has(uid) && !orphans.has(uid)) await this.#removeOrphan(uid, undefined);
  }

  /** Ends what runs of a pod that is not in the API, and takes away what is left of it. */
  async #removeOrphan(uid: string, sandbox: PodSandbox | undefined): Promise<void> {
    const { cri, log, paths } = this.#context;
    log.info({ uid, pod: sandbox?.metadata.name }, 'removing what is left of a pod that is not in the API');
    const runtime = await readRuntimePod(cri, uid);
    const running = runtime.containers.filter(({ state }) => state === 'running');
    await Promise.all(running.map(({ id }) => cri.stopContainer(id, ORPHAN_GRACE)));
    for (const { id } of runtime.sandboxes) await cri.stopPodSandbox(id);
    const { namespace, name } = sandbox?.metadata ?? {};
    const logs = sandbox && join(paths.allLogs, `${namespace}_${name}_${uid}`);
    await cleanUp(this.#context, uid, runtime, logs);
  }
}
