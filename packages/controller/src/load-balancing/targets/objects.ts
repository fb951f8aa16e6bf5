/** TargetGroupBindings as they are on the wire, of the AWS Load Balancer Controller's API. */
import type { KubeObject, LabelSelector } from '@enid/kube';

export const GROUP_VERSION = 'elbv2.k8s.aws/v1beta1';
export const BINDINGS = `/apis/${GROUP_VERSION}/targetgroupbindings`;
export const bindingPath = (namespace: string, name?: string): string =>
  `/apis/${GROUP_VERSION}/namespaces/${namespace}/targetgroupbindings${name ? `/${name}` : ''}`;

/** What a binding that has targets is kept by until it has none. */
export const FINALIZER = 'elbv2.k8s.aws/resources';

export type TargetType = 'instance' | 'ip';

export type TargetGroupBinding = KubeObject & {
  readonly spec: TargetGroupBindingSpec;
  readonly status?: { readonly observedGeneration?: number };
};

export type TargetGroupBindingSpec = {
  readonly targetGroupARN?: string;
  /** Instead of the ARN. */
  readonly targetGroupName?: string;
  /** As the target group has it, unless given. */
  readonly targetType?: TargetType;
  /** As the target group has it, unless given; only `ipv4` is served. */
  readonly ipAddressType?: 'ipv4' | 'ipv6';
  /** The target group's, which must be the cluster's. */
  readonly vpcID?: string;
  /** Whether other clusters have targets in it, too: it is not served. */
  readonly multiClusterTargetGroup?: boolean;
  readonly serviceRef: { readonly name: string; readonly port: number | string };
  /** Instance targets: the nodes that are. */
  readonly nodeSelector?: LabelSelector;
  /** What the targets' security groups must let in; without it they are left alone. */
  readonly networking?: { readonly ingress?: readonly NetworkingIngress[] };
};

export type NetworkingIngress = {
  readonly from: readonly NetworkingPeer[];
  readonly ports: readonly NetworkingPort[];
};

export type NetworkingPeer = {
  readonly securityGroup?: { readonly groupID: string };
  readonly ipBlock?: { readonly cidr: string };
};

/** All ports of TCP unless more is said. A name is that of a pod's port. */
export type NetworkingPort = { readonly protocol?: 'TCP' | 'UDP'; readonly port?: number | string };

/** The condition by which a pod waits for its target to be healthy. @param binding its name. */
export const readinessGate = (binding: string): string => `target-health.elbv2.k8s.aws/${binding}`;
