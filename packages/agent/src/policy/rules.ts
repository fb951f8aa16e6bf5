/**
 * What binds a pod, as the policies say it: the language between what reads policies (informers) and what enforces
 * them (compile, data plane).
 */
import type { Cidr } from '@enid/ip';

export type Direction = 'ingress' | 'egress';
export type Protocol = 'TCP' | 'UDP' | 'SCTP';
export type Action = 'Accept' | 'Deny' | 'Pass';
export type Verdict = 'allow' | 'deny';

/** `namespace` is of NetworkPolicies alone. */
export type PolicyRef = {
  readonly kind: 'NetworkPolicy' | 'ClusterNetworkPolicy';
  readonly namespace?: string;
  readonly name: string;
};

/** Ports `from` to `to`, both included; 0 to 65535 are all. */
export type PortRange = { readonly protocol: Protocol; readonly from: number; readonly to: number };

/** A peer of a rule: the addresses of `cidr` without those of `except`, on these ports. */
export type PeerRule = {
  /** The place of the rule in its policy's list for the direction, from 0. */
  readonly rule: number;
  /** Accept, of NetworkPolicies. */
  readonly action: Action;
  readonly cidr: Cidr;
  readonly except?: readonly Cidr[];
  /** Undefined: all ports of all protocols. An empty list matches nothing. */
  readonly ports?: readonly PortRange[];
};

/**
 * What a policy, or one of the objects that hold it, says of one direction. Immutable: what has not changed should be the same
 * object again, for then nothing of it is worked out anew. The lists and ports that peers share should be shared, too.
 */
export type PolicyRules = {
  readonly policy: PolicyRef;
  /** Of cluster policies: a lower one is asked first; among equals the name decides. */
  readonly priority?: number;
  readonly peers: readonly PeerRule[];
};

/** All that binds a pod in one direction. */
export type DirectionRules = {
  /** Let through whatever policies say, such as the node's own addresses. */
  readonly always: readonly Cidr[];
  /** Cluster policies of the Admin tier that select the pod, in any order. */
  readonly admin: readonly PolicyRules[];
  /** The NetworkPolicies that isolate the pod in this direction, in any order: if there is one, what none accepts is denied. */
  readonly networkPolicies: readonly PolicyRules[];
  /** Cluster policies of the Baseline tier that select the pod, in any order; asked when no NetworkPolicy isolates it. */
  readonly baseline: readonly PolicyRules[];
  /** What holds when nothing else does: allow in standard mode, deny in strict mode. */
  readonly default: Verdict;
};

export type PodRules = { readonly [D in Direction]: DirectionRules };

/** What decided. */
export type RuleRef = {
  readonly direction: Direction;
  /**
   * `Always`: listed so; `Default`: no policy has a say; `Closed`: the kernel could not hold the rules, so nothing passes.
   */
  readonly tier: 'Always' | 'Admin' | 'NetworkPolicy' | 'Baseline' | 'Default' | 'Closed';
  /** Of a denial by isolation: the first of the policies that isolate the pod. */
  readonly policy?: PolicyRef;
  /** Undefined of a denial by isolation: no rule accepts it. */
  readonly rule?: number;
};

export type Decision = { readonly verdict: Verdict; readonly by: RuleRef };

/** Rules of a direction that no policy binds. */
export const unbound = (verdict: Verdict, always: readonly Cidr[] = []): DirectionRules => ({
  always,
  admin: [],
  networkPolicies: [],
  baseline: [],
  default: verdict,
});
