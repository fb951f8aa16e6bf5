/** What serves as the load balancers of a lab: network load balancers that pass flows on, and health checks of all targets. */
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
import { ruleset, type ZoneNode } from './flows.ts';
import { type Check, HealthChecks } from './health-checks.ts';

/** How long AWS remembers a TCP connection on which nothing is said, in seconds, unless the listener says otherwise. */
const IDLE = 350;

export class LoadBalancers implements LoadBalancerPlane, Disposable {
  readonly #prefix: string;
  readonly #checks: HealthChecks;
  /** What is in force, by namespace. */
  readonly #rules = new Map<string, string>();

  /** @param prefix of the lab's namespaces. @param report is told what health checks find. */
  constructor(prefix: string, report: (report: HealthReport) => Promise<void>) {
    this.#prefix = prefix;
    this.#checks = new HealthChecks(report);
  }

  async sync(state: CloudState): Promise<void> {
    const all = servingLoadBalancers(state);
    for (const loadBalancer of all)
      if (loadBalancer.type === 'network') await this.#serve(state, loadBalancer);
    const names = new Set(all.map(({ id }) => this.#namespace(id)));
    for (const name of this.#rules.keys()) if (!names.has(name)) this.#rules.delete(name);
    this.#checks.sync(all.flatMap((loadBalancer) => this.#checksOf(state, loadBalancer)));
  }

  /** Health checks end; flows go on. */
  [Symbol.dispose](): void {
    this.#checks[Symbol.dispose]();
  }

  async #serve(state: CloudState, loadBalancer: ServingLoadBalancer): Promise<void> {
    const name = this.#namespace(loadBalancer.id);
    const nodes = loadBalancer.zones.map(
      ({ zone, address }): ZoneNode => ({ zone, address, link: zoneLink(state, zone) }),
    );
    const rules = ruleset(loadBalancer, nodes, (group, target) => isHealthy(state, group, target));
    if (this.#rules.get(name) === rules) return;
    using ns = NetNamespace.named(name);
    await new Nftables(ns).apply(rules);
    const idle = loadBalancer.listeners.map(({ attributes }) =>
      Number(attributes['tcp.idle_timeout.seconds']),
    );
    const longest = Math.max(...idle.filter((seconds) => seconds > 0), 0) || IDLE;
    sysctl.set(ns, 'net.netfilter.nf_conntrack_tcp_timeout_established', longest);
    this.#rules.set(name, rules);
  }

  #checksOf(state: CloudState, { id: name, zones, targetGroups }: ServingLoadBalancer): Check[] {
    const [first] = zones;
    if (!first) return [];
    return Object.values(targetGroups)
      .filter(({ healthCheck }) => healthCheck.enabled)
      .flatMap(({ arn, healthCheck, targets }) =>
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
