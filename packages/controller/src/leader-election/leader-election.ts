import {
  ApiError,
  type Clock,
  isConflict,
  isNotFound,
  type KubeClient,
  type Lease,
  sleep,
  systemClock,
} from '@enid/kube';

export type LeaderElectionOptions = {
  readonly client: KubeClient;
  readonly namespace: string;
  /** The Lease's. */
  readonly name: string;
  /** Who asks: no two that run may have the same. */
  readonly identity: string;
  /** Ends the leadership, or the wait for it. */
  readonly signal: AbortSignal;
  /** For so long others let a leader alone that says nothing, in milliseconds; 15 s. */
  readonly leaseDuration?: number;
  /** After so long without a success a leader gives up; 10 s. It must be less, so that it has ended when another begins. */
  readonly renewDeadline?: number;
  /** Between two tries; 2 s. */
  readonly retryPeriod?: number;
  readonly clock?: Clock;
  readonly onError?: (error: Error) => void;
};

/** The leadership was lost: another may lead already, so what was done as leader must have ended. */
export class LeadershipLost extends Error {
  override readonly name = 'LeadershipLost';
}

const DEFAULTS = { leaseDuration: 15_000, renewDeadline: 10_000, retryPeriod: 2_000 };

/**
 * Waits to be the leader by a Lease (`coordination.k8s.io/v1`), as client-go's leader election does, and leads while it is.
 * Clocks of different machines are not compared: a lease is over when it has not changed for its duration on this one's.
 * @param lead is called once, and must end when its signal aborts.
 * @returns when `options.signal` aborted and `lead` has ended; the Lease is free then for the next.
 * @throws {LeadershipLost} when the Lease could not be renewed in time; what `lead` throws.
 */
export async function leadByLease(
  options: LeaderElectionOptions,
  lead: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { signal, clock = systemClock, retryPeriod, renewDeadline } = { ...DEFAULTS, ...options };
  const candidate = new Candidate(options);
  while (!(await candidate.try(renewDeadline))) {
    await sleep(clock, retryPeriod, signal);
    if (signal.aborted) return;
  }
  const leading = new AbortController();
  const ended = lead(AbortSignal.any([signal, leading.signal])).finally(() => leading.abort());
  // Whoever awaits it below hears of it.
  ended.catch(() => {});
  const over = AbortSignal.any([signal, leading.signal]);
  let renewed = clock.now();
  while (!over.aborted) {
    await sleep(clock, retryPeriod, over);
    if (over.aborted) break;
    const left = renewed + renewDeadline - clock.now();
    const begun = clock.now();
    if (left > 0 && (await candidate.try(left))) renewed = begun;
    else if (candidate.isTaken || clock.now() - renewed >= renewDeadline) {
      leading.abort();
      await ended.catch((error) => options.onError?.(error));
      throw new LeadershipLost(
        `the Lease ${options.namespace}/${options.name} could not be renewed for ${renewDeadline / 1000} s: is the API server reachable?`,
      );
    }
  }
  await ended.finally(() => candidate.release());
}

class Candidate {
  readonly #options: LeaderElectionOptions & typeof DEFAULTS;
  readonly #clock: Clock;
  #seen: { readonly version: string | undefined; readonly at: number } | undefined;
  /** Another holds the Lease. */
  isTaken = false;

  constructor(options: LeaderElectionOptions) {
    this.#options = { ...DEFAULTS, ...options };
    this.#clock = options.clock ?? systemClock;
  }

  /** @returns whether the Lease is held, for a duration from before this call. */
  async try(timeout: number): Promise<boolean> {
    const abort = new AbortController();
    const cancel = this.#clock.after(timeout, () => abort.abort());
    try {
      return await this.#acquire(abort.signal);
    } catch (error) {
      // Another was quicker.
      if (!isConflict(error) && !(error instanceof ApiError && error.reason === 'AlreadyExists'))
        this.#options.onError?.(error as Error);
      return false;
    } finally {
      cancel();
    }
  }

  /** Lets the next one have the Lease at once. */
  async release(): Promise<void> {
    try {
      const lease = await this.#read(AbortSignal.timeout(this.#options.retryPeriod));
      if (lease?.spec?.holderIdentity !== this.#options.identity) return;
      await this.#write(lease, { holderIdentity: '', leaseDurationSeconds: 1 });
    } catch (error) {
      this.#options.onError?.(error as Error);
    }
  }

  async #acquire(signal: AbortSignal): Promise<boolean> {
    const { identity, leaseDuration } = this.#options;
    const lease = await this.#read(signal);
    const now = this.#clock.now();
    const version = lease?.metadata?.resourceVersion;
    if (!this.#seen || this.#seen.version !== version) this.#seen = { version, at: now };
    const { holderIdentity, leaseTransitions = 0, acquireTime } = lease?.spec ?? {};
    const isOwn = holderIdentity === identity;
    const lifetime = Math.max((lease?.spec?.leaseDurationSeconds ?? 0) * 1000, 1);
    this.isTaken = Boolean(holderIdentity) && !isOwn && now < this.#seen.at + lifetime;
    if (this.isTaken) return false;
    await this.#write(
      lease,
      {
        holderIdentity: identity,
        leaseDurationSeconds: Math.ceil(leaseDuration / 1000),
        acquireTime: isOwn ? acquireTime : microTime(now),
        leaseTransitions: isOwn || !lease ? leaseTransitions : leaseTransitions + 1,
      },
      signal,
    );
    return true;
  }

  get #leases(): string {
    return `/apis/coordination.k8s.io/v1/namespaces/${this.#options.namespace}/leases`;
  }

  async #read(signal: AbortSignal): Promise<Lease | undefined> {
    try {
      const { client, name } = this.#options;
      return await client.request<Lease>('GET', `${this.#leases}/${name}`, { signal });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Replaces the very version that was read: of two who try at a time, one is refused. */
  async #write(
    lease: Lease | undefined,
    spec: NonNullable<Lease['spec']>,
    signal?: AbortSignal,
  ): Promise<void> {
    const { client, name, namespace } = this.#options;
    const body: Lease = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { ...lease?.metadata, name, namespace },
      spec: { ...lease?.spec, renewTime: microTime(this.#clock.now()), ...spec },
    };
    const [method, path] = lease ? ['PUT', `${this.#leases}/${name}`] : ['POST', this.#leases];
    const made = await client.request<Lease>(method!, path!, { body, ...(signal && { signal }) });
    this.#seen = { version: made.metadata?.resourceVersion, at: this.#clock.now() };
  }
}

/** RFC 3339 in microseconds, as Leases have it. */
const microTime = (ms: number) => new Date(ms).toISOString().replace('Z', '000Z');
