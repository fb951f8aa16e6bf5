/** By which tags and names the resources of a stack are known: those of the AWS Load Balancer Controller. */
import { createHash } from 'node:crypto';
import type { StackId } from './stack.ts';

export const CLUSTER_TAG = 'elbv2.k8s.aws/cluster';
/** On the security group that all load balancers of a cluster share, with the value `backend-sg`. */
export const SHARED_TAG = 'elbv2.k8s.aws/resource';
export const BACKEND_SECURITY_GROUP = 'backend-sg';

/** `namespace/name`, or the group's name. It is the value of the stack's tag, and the key of the stack within its kind. */
export function stackName(id: StackId): string {
  return 'group' in id ? id.group : `${id.namespace}/${id.name}`;
}

/** The tag keys of a kind of stack: whose a resource is, and which of the stack's resources it is. */
export const tagKeys = ({ kind }: Pick<StackId, 'kind'>) => ({
  stack: `${kind}.k8s.aws/stack`,
  resource: `${kind}.k8s.aws/resource`,
});

/** The values of the resource tag, but for target groups, which have their ids. */
export const RESOURCE = {
  loadBalancer: 'LoadBalancer',
  securityGroup: 'ManagedLBSecurityGroup',
  listener: (port: number) => `${port}`,
  /** @param order from 1. */
  rule: (port: number, order: number) => `${port}:${order}`,
} as const;

/** The tags that identify a resource of a stack. */
export function identifyingTags(cluster: string, id: StackId, resource: string): Record<string, string> {
  const keys = tagKeys(id);
  return { [CLUSTER_TAG]: cluster, [keys.stack]: stackName(id), [keys.resource]: resource };
}

const digest = (parts: readonly string[]): string =>
  createHash('sha256').update(parts.join('')).digest('hex').slice(0, 10);

/** What AWS allows in names of load balancers and target groups, which have 32 characters at most. */
const plain = (text: string, most: number) => text.replace(/[^a-zA-Z0-9]/g, '').slice(0, most);

/**
 * A name for a load balancer, its security group, or a target group: `k8s-<namespace>-<name>-<digest>`, or `k8s-<group>-<digest>`.
 * @param distinguishing what makes it another resource when it changes, as the scheme of a load balancer.
 */
export function resourceName(
  owner: { readonly namespace: string; readonly name: string } | { readonly group: string },
  distinguishing: readonly string[],
): string {
  const label =
    'group' in owner ? plain(owner.group, 17) : `${plain(owner.namespace, 8)}-${plain(owner.name, 8)}`;
  return `k8s-${label}-${digest(distinguishing)}`;
}
