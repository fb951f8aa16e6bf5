/** The security group that all load balancers of a cluster share, so that their targets let in one group for all of them. */
import { createHash } from 'node:crypto';
import { BACKEND_SECURITY_GROUP, CLUSTER_TAG, SHARED_TAG } from '../model/identity.ts';
import type { Tags } from '../model/stack.ts';

/** How it is made: `k8s-traffic-<cluster>-<digest>`, without a rule. */
export function backendGroup(clusterName: string): {
  readonly spec: { readonly name: string; readonly description: string };
  readonly tags: Tags;
} {
  const label = clusterName.replace(/[^a-zA-Z0-9-]/g, '').slice(0, 232);
  const digest = createHash('sha256').update(clusterName).digest('hex').slice(0, 10);
  return {
    spec: {
      name: `k8s-traffic-${label}-${digest}`,
      description: '[k8s] Shared Backend SecurityGroup for LoadBalancer',
    },
    tags: { [CLUSTER_TAG]: clusterName, [SHARED_TAG]: BACKEND_SECURITY_GROUP },
  };
}
