/** The custom resources and policies that the controller reads and writes, as they are on the wire. */
import type { ClusterSubject, KubeObject, LabelSelector, PolicyAction, Tier } from '@enid/kube';

export const GROUP = 'networking.k8s.aws';
export const GROUP_VERSION = `${GROUP}/v1alpha1`;

export type {
  ClusterPolicyEndpoint,
  ClusterSubject,
  Content,
  Endpoint,
  EndpointPort,
  PodEndpoint,
  PolicyAction as Action,
  PolicyDirection as Direction,
  PolicyEndpoint,
  Tier,
} from '@enid/kube';

type WirePort = {
  readonly protocol?: string | undefined;
  readonly port?: number | string | undefined;
  readonly endPort?: number | undefined;
};
type WirePeer = {
  readonly podSelector?: LabelSelector | undefined;
  readonly namespaceSelector?: LabelSelector | undefined;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] | undefined } | undefined;
};

/** `networking.k8s.io/v1` */
export type NetworkPolicy = KubeObject & {
  readonly spec?:
    | {
        readonly podSelector?: LabelSelector | undefined;
        readonly policyTypes?: readonly string[] | undefined;
        readonly ingress?: readonly {
          readonly ports?: readonly WirePort[];
          readonly from?: readonly WirePeer[];
        }[];
        readonly egress?: readonly {
          readonly ports?: readonly WirePort[];
          readonly to?: readonly WirePeer[];
        }[];
      }
    | undefined;
};

type ClusterPeer = ClusterSubject & {
  readonly networks?: readonly string[];
  readonly domainNames?: readonly string[];
};
type ClusterPort = {
  readonly portNumber?: { readonly protocol?: string; readonly port: number };
  readonly portRange?: { readonly protocol?: string; readonly start: number; readonly end: number };
  readonly namedPort?: string;
};
type ClusterRule = { readonly action: PolicyAction; readonly ports?: readonly ClusterPort[] };

/** `networking.k8s.aws/v1alpha1`: a policy for the pods of many namespaces. The rule that stands first decides. */
export type ClusterNetworkPolicy = KubeObject & {
  readonly spec: {
    readonly tier: Tier;
    readonly priority: number;
    readonly subject: ClusterSubject;
    readonly ingress?: readonly (ClusterRule & { readonly from?: readonly ClusterPeer[] })[];
    readonly egress?: readonly (ClusterRule & { readonly to?: readonly ClusterPeer[] })[];
  };
};
