/** The health of targets, and what follows from it for the zones of a load balancer. */
import type { TargetHealth as ElbTargetHealth } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Draft } from 'immer';
import type { CloudState } from '../state.ts';
import { attributesOf, loadBalancerAttributes, targetGroupAttributes } from './attributes.ts';
import { targetGroupsUsedBy } from './resources.ts';
import type { LoadBalancer, LoadBalancerZone, Target, TargetGroup, TargetHealth } from './state.ts';

/** Whether a load balancer's nodes send a target group's traffic to other zones than their own. */
export function isCrossZone(loadBalancer: LoadBalancer, group: TargetGroup): boolean {
  const key = 'load_balancing.cross_zone.enabled';
  const own = attributesOf(targetGroupAttributes(group), group.attributes)[key];
  if (own === 'true' || own === 'false') return own === 'true';
  return attributesOf(loadBalancerAttributes(loadBalancer), loadBalancer.attributes)[key] === 'true';
}

/** Whether a target is in a zone that its load balancer has: it gets no traffic elsewhere, cross-zone or not. */
export function isReached({ zones }: LoadBalancer, { availabilityZone }: Target): boolean {
  return availabilityZone === 'all' || zones.some(({ zone }) => zone === availabilityZone);
}

const health = (
  State: NonNullable<ElbTargetHealth['State']>,
  Reason: ElbTargetHealth['Reason'],
  Description: string,
) => ({
  State,
  ...(Reason && { Reason }),
  ...(Description && { Description }),
});

/**
 * The health of a target as ELBv2 tells it.
 * @param user the load balancer that its target group works for, if it works for one.
 */
export function healthOf(
  state: CloudState,
  user: LoadBalancer | undefined,
  group: TargetGroup,
  target: Target,
): ElbTargetHealth {
  if (target.drainingSince !== undefined) {
    return health('draining', 'Target.DeregistrationInProgress', 'Target deregistration is in progress');
  }
  if (!user) {
    return health(
      'unused',
      'Target.NotInUse',
      'Target group is not configured to receive traffic from the load balancer',
    );
  }
  if (group.targetType === 'instance' && state.instances[target.id]?.state !== 'running') {
    return health('unused', 'Target.InvalidState', 'Target is in the stopped state');
  }
  if (!isReached(user, target)) {
    const zone = 'Target is in an Availability Zone that is not enabled for the load balancer';
    return health('unused', 'Target.NotInUse', zone);
  }
  if (!group.healthCheck.enabled) {
    return health(
      'unavailable',
      'Target.HealthCheckDisabled',
      'Health checks are not enabled for this target',
    );
  }
  if (user.state === 'provisioning') {
    return health('initial', 'Elb.RegistrationInProgress', 'Target registration is in progress');
  }
  const found = target.health;
  if (!found || found.state === 'initial') {
    return health('initial', 'Elb.InitialHealthChecking', 'Initial health checks in progress');
  }
  return health(found.state, found.reason as ElbTargetHealth['Reason'], found.description ?? '');
}

/** The zones that DNS leads to: those in which each target group has a healthy target; all, when there is no such zone. */
export function healthyZones(state: CloudState, loadBalancer: LoadBalancer): readonly LoadBalancerZone[] {
  const groups = [...targetGroupsUsedBy(state, loadBalancer.arn)].flatMap(
    (arn) => state.targetGroups[arn] ?? [],
  );
  const serves = (group: TargetGroup, { zone }: LoadBalancerZone): boolean => {
    const targets = Object.values(group.targets);
    return (
      targets.length === 0 ||
      targets.some(
        (target) =>
          target.health?.state === 'healthy' &&
          target.drainingSince === undefined &&
          isReached(loadBalancer, target) &&
          (isCrossZone(loadBalancer, group) || [zone, 'all'].includes(target.availabilityZone)),
      )
    );
  };
  const healthy = loadBalancer.zones.filter((zone) => groups.every((group) => serves(group, zone)));
  return healthy.length > 0 ? healthy : loadBalancer.zones;
}

/** What health checks have found of one target. */
export type HealthReport = {
  readonly targetGroupArn: string;
  readonly id: string;
  readonly port: number;
  readonly health: TargetHealth;
};

/** Puts what health checks have found into the account, where it is new. */
export function takeHealth(draft: Draft<CloudState>, reports: readonly HealthReport[]): void {
  for (const { targetGroupArn, id, port, health: found } of reports) {
    const target = draft.targetGroups[targetGroupArn]?.targets[`${id}:${port}`];
    if (!target || target.drainingSince !== undefined) continue;
    const { state, reason, description } = target.health ?? {};
    if (state === found.state && reason === found.reason && description === found.description) continue;
    target.health = { ...found };
  }
}
