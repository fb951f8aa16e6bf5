import { setTimeout as sleep } from 'node:timers/promises';
import { backoffDelay, type Pod } from '@enid/kube';
import { fullNameOf, uidOf } from '../pod.ts';
import { gracePeriodOf } from '../runtime/labels.ts';
import { type RuntimePod, readRuntimePod } from '../runtime/state.ts';
import type { PodContext } from './context.ts';
import type { Hold } from './plan.ts';
import { PodError, runPod } from './run.ts';
import { terminatePod } from './terminate.ts';

const RETRY = { base: 1_000, max: 30_000 };
/** CRI follows containerd's events within milliseconds; should it not, the next look will see it. */
const FOLLOWS_WITHIN = 1_000;
const FOLLOW_INTERVAL = 5;

/** Looks after one pod, one thing at a time. */
export class PodWorker {
  readonly #context: PodContext;
  readonly #attempts = new Map<string, Hold>();
  readonly #done: () => void;
  #pod: Pod;
  #gone = false;
  #dirty = false;
  #working: Promise<void> | undefined;
  #impatience = new AbortController();
  #cancelWake: (() => void) | undefined;
  #failures = 0;
  /** Until when it waits after failures. */
  #retryAt = Number.NEGATIVE_INFINITY;
  #finished = false;
  #closed = false;
  #ids = new Set<string>();

  /** @param done called when nothing of the pod is left, neither here nor in the API. */
  constructor(context: PodContext, pod: Pod, done: () => void) {
    this.#context = context;
    this.#pod = pod;
    this.#done = done;
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** The pod's object has changed. */
  update(pod: Pod): void {
    const before = this.#isDeleted ? gracePeriodOf(this.#pod) : Number.POSITIVE_INFINITY;
    this.#pod = pod;
    const sooner = this.#isDeleted && gracePeriodOf(pod) < before;
    if (sooner) this.#impatience.abort();
    this.poke();
  }

  /** The pod's object is gone. */
  remove(): void {
    if (!this.#isDeleted) this.#impatience.abort();
    this.#gone = true;
    this.poke();
  }

  /** Whether this is a container or sandbox of the pod, as far as was seen. */
  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** What containers waited for may be there now. */
  retry(): void {
    for (const [name, { reason }] of this.#attempts)
      if (reason === 'CreateContainerConfigError') this.#attempts.delete(name);
    this.poke();
  }

  /** Looks after the pod now. */
  poke(): void {
    if (this.#closed) return;
    this.#dirty = true;
    this.#working ??= this.#work();
  }

  /** Ends the looking after; the pod goes on. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#impatience.abort();
    this.#cancelWake?.();
    await this.#working;
  }

  get #isDeleted(): boolean {
    return this.#gone || this.#pod.metadata?.deletionTimestamp !== undefined;
  }

  async #work(): Promise<void> {
    await Promise.resolve();
    while (this.#dirty && !this.#closed) {
      this.#dirty = false;
      this.#cancelWake?.();
      try {
        const wake = await this.#once();
        this.#failures = 0;
        this.#retryAt = Number.NEGATIVE_INFINITY;
        this.#wakeAt(wake);
      } catch (error) {
        if (this.#closed) break;
        if (this.#impatience.signal.aborted) this.#dirty = true;
        else this.#failed(error);
      }
      if (this.#impatience.signal.aborted) this.#impatience = new AbortController();
    }
    this.#working = undefined;
  }

  async #once(): Promise<number> {
    if (!this.#isDeleted) {
      const { signal } = this.#impatience;
      return runPod(this.#context, this.#pod, { attempts: this.#attempts, signal, read: () => this.#read() });
    }
    if (!this.#finished) {
      const { signal } = this.#impatience;
      await terminatePod(this.#context, this.#pod, this.#gone, () => this.#read(), signal);
      this.#finished = true; // A finalizer may keep the object.
    }
    if (this.#gone) this.#done();
    return Number.POSITIVE_INFINITY;
  }

  /** What runs. What is known to have ended is waited for to be seen so. */
  async #read(): Promise<RuntimePod> {
    const deadline = Date.now() + FOLLOWS_WITHIN;
    for (;;) {
      const runtime = await readRuntimePod(this.#context.cri, uidOf(this.#pod));
      const alive = [
        ...runtime.containers.filter(({ state }) => state === 'running'),
        ...runtime.sandboxes.filter(({ ready }) => ready),
      ];
      this.#ids = new Set([...runtime.containers, ...runtime.sandboxes].map(({ id }) => id));
      if (Date.now() > deadline || !alive.some(({ id }) => this.#context.hasExited(id))) return runtime;
      await sleep(FOLLOW_INTERVAL);
    }
  }

  #failed(error: unknown): void {
    const pod = fullNameOf(this.#pod);
    const { log, clock } = this.#context;
    if (error instanceof PodError) log.info({ pod }, error.message);
    else log.error({ pod, err: error }, 'pod could not be looked after');
    // Who fails again before the wait is over, because something has changed, waits no longer for it.
    if (clock.now() >= this.#retryAt) this.#retryAt = clock.now() + backoffDelay(this.#failures++, RETRY);
    this.#wakeAt(this.#retryAt);
  }

  #wakeAt(time: number): void {
    if (time === Number.POSITIVE_INFINITY || this.#closed) return;
    const { clock } = this.#context;
    this.#cancelWake = clock.after(Math.max(time - clock.now(), 0), () => this.poke());
  }
}
