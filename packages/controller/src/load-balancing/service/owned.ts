/** Which Services are ours, of those that want a load balancer. */
import type { Service } from '@enid/kube';
import { Annotations } from '../annotations.ts';

const LOAD_BALANCER_CLASS = 'service.k8s.aws/nlb';
const PREFIX = 'service.beta.kubernetes.io/aws-load-balancer-';

/** The Service's annotations, by what follows `service.beta.kubernetes.io/aws-load-balancer-`. */
export function annotationsOf({ metadata }: Service): Annotations {
  return new Annotations(`Service ${metadata?.namespace}/${metadata?.name}`, PREFIX, metadata?.annotations);
}

/**
 * Whether a Service asks us for a network load balancer: by its class, or, having none, by the annotation
 * `aws-load-balancer-type`, being `nlb-ip`, or `external` with a word on the targets' type.
 */
export function ownsService(service: Service): boolean {
  const { type, loadBalancerClass } = service.spec ?? {};
  if (type !== 'LoadBalancer') return false;
  if (loadBalancerClass) return loadBalancerClass === LOAD_BALANCER_CLASS;
  const annotations = annotationsOf(service);
  const kind = annotations.text('type');
  return kind === 'nlb-ip' || (kind === 'external' && annotations.has('nlb-target-type'));
}
