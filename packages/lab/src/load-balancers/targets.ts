/** Which targets the nodes of a load balancer send to. */
import type { Ipv4 } from '@enid/ip';
import type { ServingTarget, ServingTargetGroup } from '../cloud/elbv2/serving.ts';

/** A load balancer's address in a zone, and the device that has it. */
export type ZoneNode = { readonly zone: string; readonly address: Ipv4; readonly link: string };

export type IsHealthy = (group: ServingTargetGroup, target: ServingTarget) => boolean;

/**
 * Whom a zone's node sends what is new to: of the targets that it reaches those that are healthy or, when there are fewer than
 * the target group wants, all of them, as AWS fails open.
 */
export function eligible(group: ServingTargetGroup, zone: string, isHealthy: IsHealthy): ServingTarget[] {
  const reached = group.targets.filter(
    (target) => !target.draining && (group.crossZone || target.zone === zone || target.zone === 'all'),
  );
  const healthy = reached.filter((target) => isHealthy(group, target));
  return healthy.length >= leastHealthy(group, reached.length) ? healthy : reached;
}

/** https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health.html */
function leastHealthy({ attributes }: ServingTargetGroup, count: number): number {
  const least = (unit: string) =>
    Number(attributes[`target_group_health.unhealthy_state_routing.minimum_healthy_targets.${unit}`]);
  // `off` is no number.
  return Math.max(least('count'), Math.ceil(((least('percentage') || 0) / 100) * count));
}
