import type { EC2Client } from '@aws-sdk/client-ec2';
import type { ElasticLoadBalancingV2Client } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { KubeClient } from '@enid/kube';
import type { ClusterNode } from '../cluster/node.ts';
import type { ClusterPods } from '../cluster/pods.ts';
import type { Lab } from '../lab/lab.ts';
import type { Evidence } from './evidence.ts';

/** What a check works on: two nodes, and pods that the checks before it have left. */
export type Demo = {
  readonly lab: Lab;
  /** In a public and in a private subnet. */
  readonly red: ClusterNode;
  readonly blue: ClusterNode;
  readonly client: KubeClient;
  readonly pods: ClusterPods;
  readonly ec2: EC2Client;
  readonly elbv2: ElasticLoadBalancingV2Client;
  readonly evidence: Evidence;
};

/** One thing that the demo shows. It throws when it is not so. */
export type Check = { readonly name: string; readonly run: (demo: Demo) => Promise<void> };

/** IP_COOLDOWN_PERIOD of the demo's agents: the check of the pod limit need not wait for the default 30 s. */
export const COOLDOWN_SECONDS = 5;
