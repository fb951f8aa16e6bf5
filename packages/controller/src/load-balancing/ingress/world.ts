/** What of the cluster and the account the stacks of Ingresses are worked out from. The methods fit informers' `get`. */
import {
  type Ingress,
  type IngressClass,
  type KubeObject,
  keyOf,
  type LabelSelector,
  type Namespace,
  type Service,
} from '@enid/kube';
import type { AwsError } from '../aws/error.ts';
import type { Change } from '../deploy/changes.ts';
import type { Account, ClusterDefaults } from '../model/account.ts';
import type { InvalidObject } from '../model/errors.ts';
import type { Stack } from '../model/stack.ts';
import type { RefusedByAws } from './blame.ts';

/** `elbv2.k8s.aws/v1beta1`: what all Ingresses of a class have in common. See `deploy/crds/ingressclassparams.yaml`. */
export type IngressClassParams = KubeObject & {
  readonly spec?: {
    readonly namespaceSelector?: LabelSelector;
    readonly group?: { readonly name: string };
    readonly loadBalancerName?: string;
    readonly scheme?: string;
    readonly ipAddressType?: string;
    readonly subnets?: {
      readonly ids?: readonly string[];
      readonly tags?: Readonly<Record<string, readonly string[]>>;
    };
    readonly inboundCIDRs?: readonly string[];
    readonly PrefixListsIDs?: readonly string[];
    readonly certificateArn?: readonly string[];
    readonly sslPolicy?: string;
    readonly sslRedirectPort?: string;
    readonly targetType?: string;
    readonly tags?: readonly Pair[];
    readonly loadBalancerAttributes?: readonly Pair[];
    readonly listeners?: readonly {
      readonly protocol?: string;
      readonly port?: number;
      readonly listenerAttributes?: readonly Pair[];
    }[];
    readonly wafv2AclArn?: string;
    readonly wafv2AclName?: string;
    readonly ipamConfiguration?: object;
    readonly minimumLoadBalancerCapacity?: object;
  };
};

type Pair = { readonly key: string; readonly value: string };

export type IngressWorld = {
  /** All of the cluster. */
  readonly ingresses: () => Iterable<Ingress>;
  readonly ingressClass: (name: string) => IngressClass | undefined;
  readonly ingressClassParams: (name: string) => IngressClassParams | undefined;
  readonly namespace: (name: string) => Namespace | undefined;
  /** @param key `namespace/name`. */
  readonly service: (key: string) => Service | undefined;
  readonly account: Account;
  readonly defaults: ClusterDefaults;
};

/** What is wrong with an Ingress, or with what it names: to be told in an event of the Ingress. */
export type Problem = { readonly ingress: Ingress; readonly error: InvalidObject | RefusedByAws };

/** What a group of Ingresses comes to. */
export type GroupStack = {
  /** undefined: none is right of those that have been served, and what there is stays as it is until one is. */
  readonly stack: Stack | undefined;
  /** Whom the stack serves, in the order of their rules: they are to have its finalizer, and its address in their status. */
  readonly members: readonly Ingress[];
  /** They have its finalizer, and are to lose it once the stack is applied, or at once when it stays for others. */
  readonly leaving: readonly Ingress[];
  readonly problems: readonly Problem[];
  /** Whom of the members the group is to go on without, after AWS has refused a change; undefined when that cannot be told. */
  readonly blame?: (change: Change, error: AwsError) => Ingress | undefined;
};

/** How messages name an Ingress. */
export const nameOf = (ingress: Ingress) => `Ingress ${keyOf(ingress)}`;
