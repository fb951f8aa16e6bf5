/** The custom resources and policies that the controller reads and writes, as they are on the wire. */
import type { KubeObject, LabelSelector } from '@enid/kube';

export const GROUP = 'networking.k8s.aws';
export const GROUP_VERSION = `${GROUP}/v1alpha1`;

export type Direction = 'Ingress' | 'Egress';
export type Action = 'Accept' | 'Deny' | 'Pass';

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

type ClusterPods = { readonly namespaceSelector?: LabelSelector; readonly podSelector?: LabelSelector };
export type ClusterSubject = { readonly namespaces?: LabelSelector; readonly pods?: ClusterPods };
type ClusterPeer = ClusterSubject & {
  readonly networks?: readonly string[];
  readonly domainNames?: readonly string[];
};
type ClusterPort = {
  readonly portNumber?: { readonly protocol?: string; readonly port: number };
  readonly portRange?: { readonly protocol?: string; readonly start: number; readonly end: number };
  readonly namedPort?: string;
};
type ClusterRule = { readonly action: Action; readonly ports?: readonly ClusterPort[] };

export type Tier = 'Admin' | 'Baseline';

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

/** Ports of one protocol. Without `port`: all of them. */
export type EndpointPort = {
  readonly protocol: string;
  readonly port?: number;
  readonly endPort?: number;
  /** Ingress alone: holds only for those selected pods that have this port by this name, see {@link PodEndpoint}. */
  readonly name?: string;
};

/** A peer of one rule. Without `ports`: on all ports of all protocols. */
export type Endpoint = {
  /** An address as it is, or a block. */
  readonly cidr?: string;
  readonly except?: readonly string[];
  readonly domainName?: string;
  readonly ports?: readonly EndpointPort[];
  /** The place of the rule in the policy's list, from 0; of a cluster policy's rules that match, the lowest decides. */
  readonly rule: number;
  /** Of cluster policies. */
  readonly action?: Action;
};

/** A pod that the policy selects. */
export type PodEndpoint = {
  readonly hostIP: string;
  readonly podIP: string;
  readonly name: string;
  readonly namespace: string;
  /** Those of its named ports that rules for ingress name. */
  readonly namedPorts?: readonly EndpointPort[];
};

type Lists = {
  readonly podSelectorEndpoints?: readonly PodEndpoint[];
  readonly ingress?: readonly Endpoint[];
  readonly egress?: readonly Endpoint[];
};

/** What a policy means at the moment, or the part of it that one object holds. */
export type Content = { readonly [K in keyof Lists]-?: NonNullable<Lists[K]> };

export type PolicyEndpoint = KubeObject & {
  readonly spec: Lists & {
    readonly podSelector?: LabelSelector;
    readonly policyRef: { readonly name: string; readonly namespace: string };
    readonly podIsolation: readonly Direction[];
  };
};

export type ClusterPolicyEndpoint = KubeObject & {
  readonly spec: Lists & {
    readonly policyRef: { readonly name: string };
    readonly tier: Tier;
    readonly priority: number;
    readonly subject: ClusterSubject;
  };
};
