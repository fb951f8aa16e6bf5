/** The custom resources by which a controller tells agents what network policies mean (networking.k8s.aws/v1alpha1). */
import type { KubeObject, LabelSelector } from './wire.ts';

export type PolicyDirection = 'Ingress' | 'Egress';
export type PolicyAction = 'Accept' | 'Deny' | 'Pass';
export type Tier = 'Admin' | 'Baseline';

type ClusterPods = { readonly namespaceSelector?: LabelSelector; readonly podSelector?: LabelSelector };
/** The pods that a cluster policy is for. */
export type ClusterSubject = { readonly namespaces?: LabelSelector; readonly pods?: ClusterPods };

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
  readonly action?: PolicyAction;
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
    readonly podIsolation: readonly PolicyDirection[];
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
