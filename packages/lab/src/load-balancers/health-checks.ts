/** Health checks of targets, from where their load balancer stands. */
import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ipv4 } from '@enid/ip';
import { connectTcp, NetNamespace } from '@enid/linux';
import type { HealthReport } from '../cloud/elbv2/health.ts';
import type { HealthCheck, TargetHealth } from '../cloud/elbv2/state.ts';

/** One target as one load balancer checks it. */
export type Check = Omit<HealthReport, 'health'> & {
  /** Of the load balancer, and the address there that it asks from. */
  readonly namespace: string;
  readonly from: Ipv4;
  readonly address: Ipv4;
  readonly how: HealthCheck;
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

type Failure = { readonly reason: string; readonly description: string };

/** @returns why the target fails the check; undefined when it passes. */
async function attempt(check: Check): Promise<Failure | undefined> {
  const { how, address, port } = check;
  const timeout = AbortSignal.timeout(1000 * how.timeoutSeconds);
  let socket: Socket | undefined;
  try {
    using ns = NetNamespace.named(check.namespace);
    const at = how.port === 'traffic-port' ? port : Number(how.port);
    socket = connectTcp(ns, address, at, { localAddress: check.from });
    if (how.protocol === 'TCP') await connected(socket, timeout);
    else return mismatch(how, await ask(socket, check, timeout));
    return undefined;
  } catch {
    return timeout.aborted
      ? { reason: 'Target.Timeout', description: 'Request timed out' }
      : { reason: 'Target.FailedHealthChecks', description: 'Health checks failed' };
  } finally {
    socket?.destroy();
  }
}

function connected(socket: Socket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    socket.once('connect', resolve).once('error', reject);
  });
}

/** @returns the status of the answer. */
function ask(socket: Socket, { how, address }: Check, signal: AbortSignal): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { host: address, 'user-agent': 'ELB-HealthChecker/2.0', connection: 'close' };
    const options = { path: how.path ?? '/', headers, signal };
    // The certificates of targets are not looked at, as by AWS.
    const request =
      how.protocol === 'HTTPS'
        ? https.request({
            ...options,
            socket,
            rejectUnauthorized: false,
            agent: false,
          } as https.RequestOptions)
        : http.request({ ...options, createConnection: () => socket });
    request
      .once('response', (response) => {
        response.resume();
        resolve(response.statusCode!);
      })
      .once('error', reject)
      .end();
  });
}

/** @param matcher such as `200,301` or `200-399`. */
function mismatch({ matcher }: HealthCheck, status: number): Failure | undefined {
  const wanted = matcher?.HttpCode ?? '200';
  const matches = wanted.split(',').some((part) => {
    const [from = 0, to = from] = part.split('-').map(Number);
    return status >= from && status <= to;
  });
  if (matches) return undefined;
  return {
    reason: 'Target.ResponseCodeMismatch',
    description: `Health checks failed with these codes: [${status}]`,
  };
}
