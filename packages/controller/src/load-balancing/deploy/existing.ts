/** What there is of a stack, in the words of what is wanted: a spec, with the name that AWS has given it. */

import { CLUSTER_TAG, stackName, tagKeys } from '../model/identity.ts';
import type {
  ActionSpec,
  BindingSpec,
  ListenerSpec,
  LoadBalancerSpec,
  RuleSpec,
  SecurityGroupRule,
  StackId,
  Tags,
  TargetGroupSpec,
} from '../model/stack.ts';

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** References in all of it are those of AWS: ARNs and ids. It is brought up to date as changes are carried out. */
export type Existing = {
  loadBalancers: ExistingLoadBalancer[];
  securityGroups: ExistingSecurityGroup[];
  targetGroups: ExistingTargetGroup[];
  bindings: ExistingBinding[];
  /** The id of the security group that all load balancers of the cluster share. */
  backendSecurityGroup: string | undefined;
};

export type ExistingLoadBalancer = Mutable<Omit<LoadBalancerSpec, 'listeners' | 'securityGroups'>> & {
  readonly arn: string;
  readonly dnsName: string;
  /** Ids. */
  securityGroups: readonly string[];
  listeners: ExistingListener[];
};

/** An action as it is found: of a type that the model has, or of another, by its name. */
export type ExistingAction = ActionSpec | { readonly type: 'other'; readonly name: string };

export type ExistingListener = Mutable<Omit<ListenerSpec, 'rules' | 'defaultActions'>> & {
  readonly arn: string;
  defaultActions: readonly ExistingAction[];
  /** Without the default one. */
  rules: ExistingRule[];
};

export type ExistingRule = Mutable<Omit<RuleSpec, 'actions'>> & {
  readonly arn: string;
  priority: number;
  actions: readonly ExistingAction[];
};

export type ExistingTargetGroup = Mutable<Omit<TargetGroupSpec, 'binding'>> & { readonly arn: string };

export type ExistingSecurityGroup = {
  readonly id: string;
  readonly name: string;
  ingress: readonly SecurityGroupRule[];
  tags: Tags;
};

export type ExistingBinding = {
  readonly namespace: string;
  readonly name: string;
  readonly targetGroupArn: string;
  spec: BindingSpec;
};

export const nothing = (): Existing => ({
  loadBalancers: [],
  securityGroups: [],
  targetGroups: [],
  bindings: [],
  backendSecurityGroup: undefined,
});

/**
 * The stack that tags say a resource is of.
 * @returns undefined for a resource that is none of the cluster's.
 */
export function stackOfTags(clusterName: string, tags: Tags): StackId | undefined {
  if (tags[CLUSTER_TAG] !== clusterName) return undefined;
  for (const kind of ['service', 'ingress'] as const) {
    const { stack, resource } = tagKeys({ kind });
    const value = tags[stack];
    const isWhole = kind === 'ingress' ? /^[^/\s]+(\/[^/\s]+)?$/ : /^[^/\s]+\/[^/\s]+$/;
    if (value && tags[resource] !== undefined && isWhole.test(value)) return stackOfKey(`${kind} ${value}`);
  }
  return undefined;
}

/** What stacks are told apart by. */
export const stackKey = (id: StackId): string => `${id.kind} ${stackName(id)}`;

/** The stack of a {@link stackKey key}. */
export function stackOfKey(key: string): StackId {
  const [kind, value = ''] = key.split(' ');
  const [namespace = '', name] = value.split('/');
  if (name === undefined) return { kind: 'ingress', group: value };
  return kind === 'service' ? { kind, namespace, name } : { kind: 'ingress', namespace, name };
}
