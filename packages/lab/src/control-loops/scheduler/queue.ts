import { backoffDelay, type Clock, keyOf, type Pod } from '@enid/kube';

/** How long a pod that no node would take waits at least before it is looked at again, in milliseconds. */
const BACKOFF = { base: 1_000, max: 10_000, random: () => 0 };
/** After so long it is looked at again though nothing has changed that could help, in milliseconds. */
const AT_LATEST = 5 * 60_000;

type Waiting = { readonly until: number; readonly attempts: number };

/** Which pods are to be scheduled, in which order: the most important first, of equals the oldest. */
export class SchedulingQueue {
  readonly #clock: Clock;
  readonly #onReady: () => void;
  readonly #ready = new Map<string, Pod>();
  /** Those that no node would take. */
  readonly #unschedulable = new Map<string, Pod>();
  readonly #waiting = new Map<string, Waiting>();
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
    this.#ready.set(key, pod);
    this.#onReady();
  }

  remove(key: string): void {
    this.#ready.delete(key);
    this.#unschedulable.delete(key);
    this.#waiting.delete(key);
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
    const attempts = this.#waiting.get(key)?.attempts ?? 0;
    const until = this.#clock.now() + backoffDelay(attempts, BACKOFF);
    this.#waiting.set(key, { until, attempts: attempts + 1 });
    this.#unschedulable.set(key, pod);
    this.#wakeAt(changes === this.#changes ? this.#clock.now() + AT_LATEST : until);
  }

  /** Something has changed that could help: all are looked at again when they have waited long enough. */
  retry(): void {
    this.#changes++;
    if (this.#unschedulable.size > 0) this.#wakeAt(this.#clock.now());
  }

  close(): void {
    this.#timer?.cancel();
    this.#ready.clear();
    this.#unschedulable.clear();
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
    for (const [key, pod] of this.#unschedulable) {
      const { until } = this.#waiting.get(key)!;
      if (until > now) {
        next = Math.min(next, until);
        continue;
      }
      this.#unschedulable.delete(key);
      this.#ready.set(key, pod);
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
