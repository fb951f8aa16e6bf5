/** Which of what there is stands for which of what is wanted: what AWS can change into it, and what tags say it is. */
import type {
  LoadBalancerSpec,
  SecurityGroupRef,
  Stack,
  TargetGroupRef,
  TargetGroupSpec,
} from '../model/stack.ts';
import type {
  Existing,
  ExistingListener,
  ExistingLoadBalancer,
  ExistingSecurityGroup,
  ExistingTargetGroup,
} from './existing.ts';

/** Type and scheme are for ever, and so it is whether a network load balancer has security groups. */
export function loadBalancerOf(
  existing: Existing,
  spec: LoadBalancerSpec | undefined,
): ExistingLoadBalancer | undefined {
  return existing.loadBalancers.find(
    (found) =>
      found.type === spec?.type &&
      found.scheme === spec.scheme &&
      (spec.type === 'application' || found.securityGroups.length > 0 === spec.securityGroups.length > 0),
  );
}

/** A target group can change its health check alone. */
export function targetGroupOf(existing: Existing, spec: TargetGroupSpec): ExistingTargetGroup | undefined {
  return existing.targetGroups.find(
    (found) =>
      found.id === spec.id &&
      found.targetType === spec.targetType &&
      found.protocol === spec.protocol &&
      (found.protocolVersion ?? 'HTTP1') === (spec.protocolVersion ?? 'HTTP1') &&
      found.port === spec.port,
  );
}

export function managedGroupOf(existing: Existing, stack: Stack): ExistingSecurityGroup | undefined {
  return stack.securityGroup && existing.securityGroups[0];
}

export const listenerOf = (
  loadBalancer: ExistingLoadBalancer | undefined,
  port: number,
): ExistingListener | undefined => loadBalancer?.listeners.find((listener) => listener.port === port);

/** What the references of a stack stand for; undefined for what is not there yet. */
export function references(stack: Stack, existing: Existing) {
  return {
    targetGroup(ref: TargetGroupRef): string | undefined {
      if ('arn' in ref) return ref.arn;
      const spec = stack.targetGroups.find(({ id }) => id === ref.id);
      return spec && targetGroupOf(existing, spec)?.arn;
    },
    securityGroup(ref: SecurityGroupRef): string | undefined {
      if ('id' in ref) return ref.id;
      return 'backend' in ref ? existing.backendSecurityGroup : managedGroupOf(existing, stack)?.id;
    },
  };
}

export type References = ReturnType<typeof references>;
