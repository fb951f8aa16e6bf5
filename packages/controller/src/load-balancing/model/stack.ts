/**
 * What a Service, or a group of Ingresses, needs of AWS: plain data without anything that AWS has yet to say. What is needed is
 * worked out first and compared then with what there is, so that a plan can be shown and calls are only the differences.
 */
import type { Ipv4, Ipv4Cidr } from '@enid/ip';

/** Whose resources these are. All of them carry it as a tag, and are found by it. */
export type StackId =
  | { readonly kind: 'service'; readonly namespace: string; readonly name: string }
  /** A group that Ingresses name, across namespaces. */
  | { readonly kind: 'ingress'; readonly group: string }
  /** An Ingress that names no group is one by itself. */
  | { readonly kind: 'ingress'; readonly namespace: string; readonly name: string };

export type Stack = {
  readonly id: StackId;
  /** None: everything that carries the stack's tag is to go. */
  readonly loadBalancer?: LoadBalancerSpec;
  /** Of a stack without a load balancer: its owner says that what there is needs no protection from deletion any more. */
  readonly liftsProtection?: true;
  /** The front end's group, when it is ours to manage. */
  readonly securityGroup?: SecurityGroupSpec;
  readonly targetGroups: readonly TargetGroupSpec[];
};

/** A stack of nothing: what it had is taken away. */
export const emptyStack = (id: StackId): Stack => ({ id, targetGroups: [] });

export type Tags = Readonly<Record<string, string>>;

export type Scheme = 'internal' | 'internet-facing';

export type LoadBalancerSpec = {
  readonly name: string;
  readonly type: 'application' | 'network';
  readonly scheme: Scheme;
  /** One in each zone. */
  readonly subnets: readonly SubnetSpec[];
  /** `managed` is the stack's own, `backend` the one that all load balancers of the cluster share; others are ids. */
  readonly securityGroups: readonly SecurityGroupRef[];
  /** Whether they hold for clients that come by PrivateLink, of a network load balancer; left as it is without a word. */
  readonly inboundRulesOnPrivateLink?: 'on' | 'off';
  /** Those that are to be set; the others are left as they are. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly listeners: readonly ListenerSpec[];
  /** The user's; those of ours are added. */
  readonly tags: Tags;
};

export type SecurityGroupRef =
  | { readonly managed: true }
  | { readonly backend: true }
  | { readonly id: string };

export type SubnetSpec = {
  readonly subnetId: string;
  /** An Elastic IP address, of an internet-facing network load balancer. */
  readonly allocationId?: string;
  /** Of an internal network load balancer. */
  readonly privateAddress?: Ipv4;
};

export type ListenerProtocol = 'HTTP' | 'HTTPS' | 'TCP' | 'TLS' | 'UDP' | 'TCP_UDP';

export type ListenerSpec = {
  readonly protocol: ListenerProtocol;
  readonly port: number;
  /** ARNs, the default one first. Of HTTPS and TLS, as the next. */
  readonly certificates: readonly string[];
  readonly sslPolicy?: string;
  readonly alpnPolicy?: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly defaultActions: readonly ActionSpec[];
  /** In the order in which they are tried. */
  readonly rules: readonly RuleSpec[];
  readonly tags: Tags;
};

export type RuleSpec = {
  readonly conditions: readonly ConditionSpec[];
  readonly actions: readonly ActionSpec[];
  readonly tags: Tags;
};

/** All of a rule's conditions must hold, of each any of its values. */
export type ConditionSpec =
  | {
      readonly field: 'host-header' | 'path-pattern' | 'http-request-method' | 'source-ip';
      readonly values: readonly string[];
    }
  | { readonly field: 'http-header'; readonly name: string; readonly values: readonly string[] }
  | {
      readonly field: 'query-string';
      readonly values: readonly { readonly key?: string; readonly value: string }[];
    };

export type ActionSpec =
  | {
      readonly type: 'forward';
      readonly targetGroups: readonly { readonly group: TargetGroupRef; readonly weight?: number }[];
      readonly stickinessSeconds?: number;
    }
  | {
      readonly type: 'redirect';
      readonly statusCode: 'HTTP_301' | 'HTTP_302';
      readonly protocol?: string;
      readonly host?: string;
      readonly port?: string;
      readonly path?: string;
      readonly query?: string;
    }
  | {
      readonly type: 'fixed-response';
      readonly statusCode: string;
      readonly contentType?: string;
      readonly messageBody?: string;
    };

/** A target group of the stack by its {@link TargetGroupSpec.id}, or one of the user's. */
export type TargetGroupRef = { readonly id: string } | { readonly arn: string };

export type HealthCheckSpec = {
  readonly protocol: 'HTTP' | 'HTTPS' | 'TCP';
  /** `traffic-port`, or a number. */
  readonly port: string;
  /** Of HTTP and HTTPS, as the next. */
  readonly path?: string;
  /** Codes of HTTP, or of gRPC where the group speaks that: `200-399`, `0`. */
  readonly matcher?: string;
  readonly intervalSeconds: number;
  readonly timeoutSeconds: number;
  readonly healthyThreshold: number;
  readonly unhealthyThreshold: number;
};

export type TargetGroupSpec = {
  /** Within the stack: `namespace/name:port` of a Service, `namespace/ingress-service:port` of an Ingress. */
  readonly id: string;
  readonly name: string;
  readonly targetType: 'instance' | 'ip';
  readonly protocol: ListenerProtocol;
  /** Of HTTP and HTTPS. */
  readonly protocolVersion?: 'HTTP1' | 'HTTP2' | 'GRPC';
  readonly port: number;
  readonly healthCheck: HealthCheckSpec;
  readonly attributes: Readonly<Record<string, string>>;
  readonly tags: Tags;
  /** What fills it. */
  readonly binding: BindingSpec;
};

/** The TargetGroupBinding of a target group; its name is the group's. */
export type BindingSpec = {
  readonly namespace: string;
  readonly service: { readonly name: string; readonly port: number | string };
  /** Of instance targets: the nodes that are. */
  readonly nodeSelector?: LabelSelectorSpec;
  /** What the security groups of the targets must let in. */
  readonly networking: readonly NetworkingRule[];
};

export type LabelSelectorSpec = {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
};

export type NetworkingRule = {
  readonly from: readonly ({ readonly securityGroup: SecurityGroupRef } | { readonly cidr: Ipv4Cidr })[];
  /** The numbers of targets' ports; all of the protocol's without one. */
  readonly ports: readonly { readonly protocol: 'TCP' | 'UDP'; readonly port?: number | string }[];
};

export type SecurityGroupSpec = {
  readonly name: string;
  readonly description: string;
  readonly ingress: readonly SecurityGroupRule[];
  readonly tags: Tags;
};

export type SecurityGroupRule = {
  readonly protocol: 'tcp' | 'udp' | 'icmp' | '-1';
  /** The first and last port; type and code of ICMP. */
  readonly ports: readonly [number, number];
  readonly from: { readonly cidr: string } | { readonly groupId: string } | { readonly prefixListId: string };
  readonly description?: string;
};
