/** What serves as the load balancers of a lab: flows that are passed on, HAProxy for the rest, and health checks of all targets. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { NetNamespace, Nftables, sysctl } from '@enid/linux';
import type { HealthReport } from '../cloud/elbv2/health.ts';
import {
  type ServingLoadBalancer,
  type ServingTarget,
  type ServingTargetGroup,
  servingLoadBalancers,
} from '../cloud/elbv2/serving.ts';
import type { LoadBalancerPlane } from '../cloud/fabric.ts';
import type { CloudState } from '../cloud/state.ts';
import { zoneLink } from '../fabric/load-balancers.ts';
import { loadBalancerNamespaceName } from '../fabric/names.ts';
import { endConnections, endedTargets, type View } from './connections.ts';
import { ruleset } from './flows.ts';
import { configurationOf } from './haproxy/configuration.ts';
import { endHaproxies, Haproxy } from './haproxy/process.ts';
import { type Check, HealthChecks } from './health-checks.ts';
import type { IsHealthy, ZoneNode } from './targets.ts';

/** How long AWS remembers a TCP connection on which nothing is said, in seconds, unless the listener says otherwise. */
const IDLE = 350;

/** What serves as one load balancer. */
type Served = {
  /** The rules of nftables that are in force. */
  rules?: string;
  /** What was served last. */
  view?: View;
  readonly haproxy: Haproxy;
};

export class LoadBalancers implements LoadBalancerPlane, Disposable {
  readonly #prefix: string;
  readonly #directory: string;
  readonly #checks: HealthChecks;
  /** By id. */
  readonly #served = new Map<string, Served>();

  /**
   * @param options `prefix`: of the lab's namespaces. `directory`: where what runs keeps its files; others' are not in it.
   *   `report`: is told what health checks find.
   */
  constructor(options: {
    prefix: string;
    directory: string;
    report: (report: HealthReport) => Promise<void>;
  }) {
    this.#prefix = options.prefix;
    this.#directory = options.directory;
    mkdirSync(options.directory, { recursive: true, mode: 0o700 });
    this.#checks = new HealthChecks(options.report);
  }

  async sync(state: CloudState): Promise<void> {
    const all = servingLoadBalancers(state);
    await this.#removeAllBut(all.map(({ id }) => id));
    for (const loadBalancer of all) await this.#serve(state, loadBalancer);
    this.#checks.sync(all.flatMap((loadBalancer) => this.#checksOf(state, loadBalancer)));
  }

  /** Health checks end; traffic goes on. */
  [Symbol.dispose](): void {
    this.#checks[Symbol.dispose]();
    for (const { haproxy } of this.#served.values()) haproxy.leave();
  }

  /** Ends what still runs for the load balancers of a directory, also when its process was killed. */
  static async remove(directory: string): Promise<void> {
    await endHaproxies(directory);
  }

  async #removeAllBut(ids: readonly string[]): Promise<void> {
    for (const id of readdirSync(this.#directory)) {
      if (ids.includes(id)) continue;
      await this.#of(id).haproxy.apply(undefined);
      this.#served.delete(id);
    }
  }

  #of(id: string): Served {
    const path = join(this.#directory, id);
    const served = this.#served.get(id) ?? { haproxy: new Haproxy(this.#namespace(id), path) };
    this.#served.set(id, served);
    return served;
  }

  async #serve(state: CloudState, loadBalancer: ServingLoadBalancer): Promise<void> {
    const served = this.#of(loadBalancer.id);
    const nodes = loadBalancer.zones.map(
      ({ zone, address }): ZoneNode => ({ zone, address, link: zoneLink(state, zone) }),
    );
    const healthy = (group: ServingTargetGroup, target: ServingTarget) => isHealthy(state, group, target);
    await served.haproxy.apply(configurationOf(loadBalancer, nodes, healthy, served.haproxy.directory));
    if (loadBalancer.type === 'network') await this.#passOn(served, loadBalancer, nodes, healthy);
    const view = { loadBalancer, isHealthy: healthy };
    for (const target of served.view ? endedTargets(served.view, view) : []) {
      using ns = NetNamespace.named(this.#namespace(loadBalancer.id));
      await endConnections(ns, target);
    }
    served.view = view;
  }

  async #passOn(
    served: Served,
    loadBalancer: ServingLoadBalancer,
    nodes: readonly ZoneNode[],
    healthy: IsHealthy,
  ): Promise<void> {
    const rules = ruleset(loadBalancer, nodes, healthy);
    if (served.rules === rules) return;
    using ns = NetNamespace.named(this.#namespace(loadBalancer.id));
    await new Nftables(ns).apply(rules);
    const idle = loadBalancer.listeners.map(({ attributes }) =>
      Number(attributes['tcp.idle_timeout.seconds']),
    );
    const longest = Math.max(...idle.filter((seconds) => seconds > 0), 0) || IDLE;
    sysctl.set(ns, 'net.netfilter.nf_conntrack_tcp_timeout_established', longest);
    served.rules = rules;
  }

  #checksOf(state: CloudState, { id: name, zones, targetGroups }: ServingLoadBalancer): Check[] {
    const [first] = zones;
    if (!first) return [];
    return Object.values(targetGroups)
      .filter(({ healthCheck }) => healthCheck.enabled)
      .flatMap(({ arn, protocolVersion, attributes, healthCheck, targets }) =>
        targets
          .filter(({ draining }) => !draining)
          .map(
            ({ id, address, port, zone }): Check => ({
              targetGroupArn: arn,
              id,
              port,
              address,
              namespace: this.#namespace(name),
              from: (zones.find((each) => each.zone === zone) ?? first).address,
              how: healthCheck,
              isAnnounced: attributes['proxy_protocol_v2.enabled'] === 'true',
              ...(protocolVersion && { protocolVersion }),
              health: state.targetGroups[arn]?.targets[`${id}:${port}`]?.health,
            }),
          ),
      );
  }

  #namespace(id: string): string {
    return loadBalancerNamespaceName(this.#prefix, id);
  }
}

function isHealthy(
  state: CloudState,
  { arn, healthCheck }: ServingTargetGroup,
  target: ServingTarget,
): boolean {
  if (!healthCheck.enabled) return true;
  return state.targetGroups[arn]?.targets[`${target.id}:${target.port}`]?.health?.state === 'healthy';
}
