/** Health checks of targets, from where their load balancer stands. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { HealthReport } from '../cloud/elbv2/health.ts';
import type { TargetHealth } from '../cloud/elbv2/state.ts';
import { attempt, type Probe } from './probe.ts';

/** One target as one load balancer checks it. */
export type Check = Omit<HealthReport, 'health'> &
  Probe & {
    /** As far as it is known. */
    readonly health?: TargetHealth | undefined;
  };

type Running = { check: Check; readonly stop: AbortController };

/** Checks targets, each in its interval, and reports what changes. */
export class HealthChecks implements Disposable {
  readonly #report: (report: HealthReport) => Promise<void>;
  readonly #running = new Map<string, Running>();
  #isClosed = false;

  constructor(report: (report: HealthReport) => Promise<void>) {
    this.#report = report;
  }

  /** These targets are checked from now on, and no others. */
  sync(checks: readonly Check[]): void {
    // What an account still learns while it is stopped begins nothing.
    const wanted = new Map((this.#isClosed ? [] : checks).map((check) => [keyOf(check), check]));
    for (const [key, running] of this.#running) {
      if (wanted.has(key)) continue;
      running.stop.abort();
      this.#running.delete(key);
    }
    for (const [key, check] of wanted) {
      const running = this.#running.get(key);
      if (running) {
        running.check = check;
        continue;
      }
      const begun = { check, stop: new AbortController() };
      this.#running.set(key, begun);
      void this.#run(begun);
    }
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.sync([]);
  }

  /** A new target is healthy with the first check that it passes; then it takes the thresholds to change that. */
  async #run(running: Running): Promise<void> {
    const { signal } = running.stop;
    let state = running.check.health?.state ?? 'initial';
    let inRow = 0;
    while (!signal.aborted) {
      const { check } = running;
      const failure = await attempt(check);
      if (signal.aborted) return;
      const { healthyThreshold, unhealthyThreshold, intervalSeconds } = check.how;
      const found = failure ? 'unhealthy' : 'healthy';
      inRow = found === state ? 0 : inRow + 1;
      const enough = found === 'unhealthy' ? unhealthyThreshold : state === 'initial' ? 1 : healthyThreshold;
      if (inRow >= enough) {
        state = found;
        inRow = 0;
        const { targetGroupArn, id, port } = check;
        await this.#report({ targetGroupArn, id, port, health: { state: found, ...failure } }).catch(
          () => {},
        );
      }
      await sleep(1000 * intervalSeconds, undefined, { signal }).catch(() => {});
    }
  }
}

/** A check that is changed is begun anew. */
const keyOf = ({ health: _, ...rest }: Check): string => JSON.stringify(rest);
