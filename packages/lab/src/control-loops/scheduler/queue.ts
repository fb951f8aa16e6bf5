import { backoffDelay, type Clock, keyOf, type Pod } from '@enid/kube';

/** How long a pod that no node would take waits at least before it is looked at again, in milliseconds. */
const BACKOFF = { base: 1_000, max: 10_000, random: () => 0 };
/** After so long it is looked at again though nothing has changed that could help, in milliseconds. */
const AT_LATEST = 5 * 60_000;

/** How often no node would take a pod, and until when it is not looked at again. */
type Backoff = { readonly until: number; readonly attempts: number };
/** Pods that no node would take, and when each is looked at again. */
type Waiting = Map<string, { readonly pod: Pod; readonly due: number }>;

/** Which pods are to be scheduled, in which order: the most important first, of equals the oldest. */
export class SchedulingQueue {
  readonly #clock: Clock;
  readonly #onReady: () => void;
  readonly #ready = new Map<string, Pod>();
  /** Those for which nothing has changed since. */
  readonly #unschedulable: Waiting = new Map();
  readonly #backingOff: Waiting = new Map();
  readonly #backoffs = new Map<string, Backoff>();
  /** Counts what has changed that could help a pod, for those that are just being looked at. */
  #changes = 0;
  #timer: { readonly at: number; readonly cancel: () => void } | undefined;

  /** @param onReady called when there is a pod to take. */
  constructor(clock: Clock, onReady: () => void) {
    this.#clock = clock;
    this.#onReady = onReady;
  }

  get changes(): number {
    return this.#changes;
  }

  /** Adds a pod, or says that it has changed. */
  put(pod: Pod): void {
    const key = keyOf(pod);
    this.#unschedulable.delete(key);
    this.#backingOff.delete(key);
    this.#ready.set(key, pod);
    this.#onReady();
  }

  remove(key: string): void {
    this.#ready.delete(key);
    this.#unschedulable.delete(key);
    this.#backingOff.delete(key);
    this.#backoffs.delete(key);
  }

  /** Takes all pods that are ready, in order. */
  take(): Pod[] {
    const pods = [...this.#ready.values()].sort(before);
    this.#ready.clear();
    return pods;
  }

  /**
   * Keeps a pod that could not be scheduled until something changes.
   * @param changes {@link changes} when it was looked at: what has changed since counts.
   */
  giveBack(pod: Pod, changes: number): void {
    const key = keyOf(pod);
    const attempts = this.#backoffs.get(key)?.attempts ?? 0;
    const until = this.#clock.now() + backoffDelay(attempts, BACKOFF);
    this.#backoffs.set(key, { until, attempts: attempts + 1 });
    if (changes === this.#changes) this.#wait(this.#unschedulable, pod, this.#clock.now() + AT_LATEST);
    else this.#wait(this.#backingOff, pod, until);
  }

  /**
   * Something has changed: the pods that it could help are looked at again when they have waited long enough.
   * @param helps whether it could help a pod. One that it cannot is spared the attempt, and the longer wait after it.
   */
  retry(helps: (pod: Pod) => boolean = () => true): void {
    this.#changes++;
    for (const [key, { pod }] of this.#unschedulable) {
      if (!helps(pod)) continue;
      this.#unschedulable.delete(key);
      this.#wait(this.#backingOff, pod, this.#backoffs.get(key)!.until);
    }
  }

  close(): void {
    this.#timer?.cancel();
    this.#ready.clear();
    this.#unschedulable.clear();
    this.#backingOff.clear();
  }

  #wait(among: Waiting, pod: Pod, due: number): void {
    among.set(keyOf(pod), { pod, due });
    this.#wakeAt(due);
  }

  #wakeAt(at: number): void {
    if (this.#timer && this.#timer.at <= at) return;
    this.#timer?.cancel();
    const cancel = this.#clock.after(Math.max(at - this.#clock.now(), 0), () => this.#wake());
    this.#timer = { at, cancel };
  }

  #wake(): void {
    this.#timer = undefined;
    const now = this.#clock.now();
    let next = Number.POSITIVE_INFINITY;
    for (const waiting of [this.#backingOff, this.#unschedulable]) {
      for (const [key, { pod, due }] of waiting) {
        if (due > now) {
          next = Math.min(next, due);
          continue;
        }
        waiting.delete(key);
        this.#ready.set(key, pod);
      }
    }
    if (next < Number.POSITIVE_INFINITY) this.#wakeAt(next);
    if (this.#ready.size > 0) this.#onReady();
  }
}

function before(a: Pod, b: Pod): number {
  const priority = (b.spec?.priority ?? 0) - (a.spec?.priority ?? 0);
  if (priority !== 0) return priority;
  const [x = '', y = ''] = [a.metadata?.creationTimestamp, b.metadata?.creationTimestamp];
  return x < y ? -1 : x > y ? 1 : 0;
}
