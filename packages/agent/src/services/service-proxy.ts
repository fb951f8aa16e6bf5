/** The service proxy of a node: takes what is known of the cluster, and keeps the kernel's tables at it. */

import type { Cidr } from '@enid/ip';
import { NetNamespace } from '@enid/linux';
import { Registry } from 'prom-client';
import { type Clock, systemClock } from '../clock.ts';
import { serveWhenFree } from '../serve-when-free.ts';
import { setConnectionTracking } from './connection-tracking.ts';
import { HealthChecks, type ProxyHealth, serveProxyHealth } from './health.ts';
import { ServiceMetrics } from './metrics.ts';
import type { Problem } from './model.ts';
import { familyName } from './plan.ts';
import { StaleFlows } from './stale-flows.ts';
import { Tables } from './tables.ts';
import { TakenNodePorts } from './taken-ports.ts';
import { type Inputs, Wanted } from './wanted.ts';

export type ServiceProxyOptions = {
  /** The node's namespace; the caller's own by default. It is closed with the proxy. */
  readonly ns?: NetNamespace;
  /** Families of addresses that Services are served in: IPv4 by default. */
  readonly families?: readonly (4 | 6)[];
  /** The node's links to its pods, as nft matches names (`eni*`): traffic policy Local does not bind pods. */
  readonly podLinks?: string;
  /** Blocks that endpoints are expected in: the VPC's. The list is read anew at each {@link ServiceProxy.update}, so it may follow the VPC. */
  readonly endpointCidrs?: readonly Cidr[];
  /** Blocks of the node's addresses that node ports are served at; all addresses but loopback by default. */
  readonly nodePortCidrs?: readonly Cidr[];
  /** Port of `/healthz`, 10256 by default; null: none. */
  readonly healthPort?: number | null;
  readonly registry?: Registry;
  /** Told of everything that is wrong, once while it is so. */
  readonly report?: (problem: Problem) => void;
  readonly clock?: Clock;
};

/** From the beginning of a change to the beginning of the next, in milliseconds. One that comes after silence is done at once. */
const MIN_INTERVAL = 30;
/** After a failure, in milliseconds. */
const RETRY_INTERVAL = 1000;
/** How often the node is looked after: somebody may have flushed its rules, or taken a NodePort. In milliseconds. */
const LOOK_INTERVAL = 60_000;
/** How long a change may wait before the proxy calls itself unhealthy, in milliseconds. */
const UNHEALTHY_AFTER = 60_000;

export class ServiceProxy implements AsyncDisposable {
  readonly #ns: NetNamespace;
  readonly #families: readonly (4 | 6)[];
  readonly #clock: Clock;
  readonly #wanted: Wanted;
  readonly #tables: Tables;
  readonly #flows: StaleFlows;
  readonly #nodePorts: TakenNodePorts;
  readonly #checks: HealthChecks;
  readonly #metrics: ServiceMetrics;
  readonly #report: (problem: Problem) => void;
  readonly #stopped = new AbortController();
  #server: AsyncDisposable | undefined;
  #look: NodeJS.Timeout | undefined;

  #inputs: Inputs | undefined;
  /** Since when a change waits, in milliseconds since 1970; undefined: none does. */
  #queued: number | undefined;
  /** The same of the change that is being done. */
  #begun: number | undefined;
  /** Whether the tables have to be compared as a whole. */
  #compareAll = true;
  /** When the last change began; when one was last done. */
  #began = 0;
  #lastUpdated = 0;
  #working: Promise<void> | undefined;
  /** Problems that have been reported and still are. */
  readonly #known = new Map<string, ReadonlySet<string>>();
  readonly #startedAt: number;

  private constructor(options: ServiceProxyOptions) {
    const { families = [4], podLinks, endpointCidrs = [], nodePortCidrs = [] } = options;
    this.#ns = options.ns ?? NetNamespace.current();
    this.#families = families;
    this.#clock = options.clock ?? systemClock;
    this.#wanted = new Wanted({ families, podLinks, endpointCidrs });
    this.#tables = new Tables(this.#ns, families.map(familyName), { nodePortCidrs });
    this.#flows = new StaleFlows({
      ns: this.#ns,
      families,
      ports: () => this.#wanted.ports(),
      tell: (problems) => this.#tell('conntrack', problems),
    });
    this.#nodePorts = new TakenNodePorts(this.#ns);
    this.#checks = new HealthChecks(this.#ns, families, () => this.health);
    this.#metrics = new ServiceMetrics(options.registry ?? new Registry());
    this.#report = options.report ?? (() => {});
    this.#startedAt = this.#clock.now();
  }

  /**
   * Starts to serve `/healthz`. The tables stay as a former run has left them until the first {@link ServiceProxy.update}.
   */
  static async start(options: ServiceProxyOptions = {}): Promise<ServiceProxy> {
    const proxy = new ServiceProxy(options);
    const { healthPort = 10_256 } = options;
    if (healthPort !== null) {
      proxy.#server = await serveWhenFree(
        () =>
          serveProxyHealth({
            ns: proxy.#ns,
            port: healthPort,
            families: proxy.#families,
            health: () => proxy.health,
            onAnswer: (path, code) => proxy.#metrics.answers[path].inc({ code }),
          }),
        (error) => {
          const message = `/healthz cannot be served at port ${healthPort}, so load balancers will pass this node by: ${error?.message}`;
          proxy.#tell(
            'healthz',
            error ? [{ service: undefined, reason: 'HealthzUnavailable', message }] : [],
          );
        },
      );
    }
    // Costs little while nobody changes rules.
    proxy.#look = setInterval(() => proxy.#lookAfter(), LOOK_INTERVAL).unref();
    return proxy;
  }

  /**
   * Takes what is known of the cluster, all of it, as soon as it is complete and whenever it changes. Objects that
   * did not change have to be the same objects. Answers at once; of updates that come fast the last one counts.
   */
  update(inputs: Inputs): void {
    this.#inputs = inputs;
    this.#enqueue();
  }

  /** Resolves when nothing is left to be done. */
  async settled(): Promise<void> {
    while (this.#working ?? this.#flows.cutting) await (this.#working ?? this.#flows.cutting);
  }

  get health(): ProxyHealth {
    const since = this.#begun ?? this.#queued;
    const alive = since === undefined || this.#clock.now() - since < UNHEALTHY_AFTER;
    return {
      alive,
      healthy: alive && this.#lastUpdated > 0,
      nodeEligible: !this.#inputs?.node.leaving,
      lastUpdated: this.#lastUpdated,
    };
  }

  /** Ends what runs and leaves the tables as they are: Services go on. */
  async stop(): Promise<void> {
    if (this.#stopped.signal.aborted) return;
    this.#stopped.abort();
    clearInterval(this.#look);
    await this.settled();
    await this.#server?.[Symbol.asyncDispose]();
    await this.#checks[Symbol.asyncDispose]();
    this.#tables[Symbol.dispose]();
    this.#ns.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #lookAfter(): void {
    if (!this.#inputs || this.#working) return;
    this.#tell('node-ports', this.#nodePorts.lookAgain(this.#wanted.ports()));
    if (this.#tables.isKnown) return;
    this.#compareAll = true;
    this.#enqueue();
  }

  #enqueue(): void {
    if (this.#stopped.signal.aborted) return;
    const now = this.#clock.now();
    this.#queued ??= now;
    this.#metrics.lastQueued.set(now / 1000);
    this.#working ??= this.#work();
  }

  /** Works until nothing waits. */
  async #work(): Promise<void> {
    const { signal } = this.#stopped;
    await Promise.resolve(); // What comes in the same turn is done together.
    for (let pause = MIN_INTERVAL; this.#queued !== undefined && !signal.aborted; ) {
      const wait = this.#began + pause - this.#clock.now();
      if (wait > 0) await this.#clock.sleep(wait, signal).catch(() => {});
      if (signal.aborted) break;
      this.#began = this.#clock.now();
      this.#begun = this.#queued;
      this.#queued = undefined;
      try {
        await this.#sync(this.#inputs!);
        pause = MIN_INTERVAL;
        this.#tell('sync', []);
      } catch (error) {
        this.#metrics.syncFailures.inc();
        this.#compareAll = true;
        this.#queued = this.#begun;
        pause = RETRY_INTERVAL;
        this.#tell('sync', [{ service: undefined, reason: 'SyncFailed', message: (error as Error).message }]);
      }
      this.#begun = undefined;
    }
    // In the same step in which nothing waited: what comes a moment later begins anew.
    this.#working = undefined;
  }

  async #sync(inputs: Inputs): Promise<void> {
    const began = performance.now();
    const first = this.#lastUpdated === 0;
    if (first) {
      await this.#tables.read();
      this.#wanted.adopt(this.#tables.installed);
    }
    const { touched, services, slices, udp, triggers } = await this.#wanted.update(inputs);
    const all = this.#compareAll;
    const { changes, refused } = all
      ? await this.#tables.restore(this.#wanted)
      : await this.#tables.change(
          this.#wanted,
          [...touched.values()].flatMap((objects) => [...objects]),
        );
    this.#compareAll = false;
    // At once: after a failure below nobody would know of these changes any more.
    this.#flows.follow(changes);
    if (all || udp) this.#flows.cut();
    // The kernel has begun to track connections by now.
    if (first) this.#tell('tracking', setConnectionTracking(this.#ns));
    const now = this.#clock.now();
    this.#lastUpdated = now;
    this.#metrics.syncDuration.observe((performance.now() - began) / 1000);
    this.#metrics.lastSync.set(now / 1000);
    this.#metrics.serviceChanges.inc(services);
    this.#metrics.endpointChanges.inc(slices);
    for (const trigger of triggers) {
      if (trigger >= this.#startedAt) this.#metrics.programmingDuration.observe((now - trigger) / 1000);
    }
    this.#tell('model', this.#wanted.problems);
    this.#tell(
      'refused',
      [...refused].map(([service, message]) => ({ service, reason: 'RulesRefused', message })),
    );
    this.#tell('node-ports', this.#nodePorts.look(this.#wanted.ports()));
    this.#tell('health', await this.#checks.set(this.#wanted.healthChecks));
  }

  /** Reports the problems of one kind that are new. */
  #tell(kind: string, problems: readonly Problem[]): void {
    const known = this.#known.get(kind);
    const now = new Map(problems.map((problem) => [JSON.stringify(problem), problem]));
    this.#known.set(kind, new Set(now.keys()));
    for (const [text, problem] of now) if (!known?.has(text)) this.#report(problem);
  }
}
