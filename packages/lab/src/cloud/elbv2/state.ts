/** What an account holds of Elastic Load Balancing and of certificates, as plain JSON data. */
import type { Action, RuleCondition } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Credential } from '../../pki/index.ts';
import type { Tags } from '../state.ts';

/** Everything is by ARN. */
export type LoadBalancingState = {
  readonly loadBalancers: Readonly<Record<string, LoadBalancer>>;
  readonly listeners: Readonly<Record<string, Listener>>;
  /** The rules that have a priority; a listener's default rule is in its `defaultActions`. */
  readonly rules: Readonly<Record<string, Rule>>;
  readonly targetGroups: Readonly<Record<string, TargetGroup>>;
  readonly certificates: Readonly<Record<string, Certificate>>;
  /** Signs the certificates that are requested; made with the first of them. */
  readonly certificateAuthority?: Credential;
};

export const NO_LOAD_BALANCING: LoadBalancingState = {
  loadBalancers: {},
  listeners: {},
  rules: {},
  targetGroups: {},
  certificates: {},
};

export type LoadBalancer = {
  readonly arn: string;
  /** The last part of the ARN: 16 hexadecimal digits. */
  readonly id: string;
  readonly name: string;
  readonly type: 'application' | 'network';
  readonly scheme: 'internal' | 'internet-facing';
  readonly vpcId: string;
  /** It has a network, and serves, while it is `active`. */
  readonly state: 'provisioning' | 'active';
  readonly createdTime: string;
  readonly dnsName: string;
  /** Security group ids. A network load balancer that was made without any can be given none. */
  readonly securityGroups: readonly string[];
  /** In the order of the zones' names. */
  readonly zones: readonly LoadBalancerZone[];
  /** Those that were set; the others have their defaults. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Of network load balancers. */
  readonly enforceInboundRulesOnPrivateLink?: 'on' | 'off';
  readonly tags: Tags;
};

export type LoadBalancerZone = {
  readonly zone: string;
  readonly subnetId: string;
  /** Of kind `load_balancer` or `network_load_balancer`; its primary address is the load balancer's in this zone. */
  readonly networkInterfaceId: string;
};

export type ListenerProtocol = 'HTTP' | 'HTTPS' | 'TCP' | 'TLS' | 'UDP' | 'TCP_UDP';

export type Listener = {
  readonly arn: string;
  readonly loadBalancerArn: string;
  readonly protocol: ListenerProtocol;
  readonly port: number;
  /** Of HTTPS and TLS, as the next two. */
  readonly sslPolicy?: string;
  /** Certificate ARNs, the default one first. */
  readonly certificates: readonly string[];
  readonly alpnPolicy?: string;
  /** As {@link import('./actions.ts').readActions} completes them. */
  readonly defaultActions: readonly Action[];
  readonly attributes: Readonly<Record<string, string>>;
  readonly tags: Tags;
};

export type Rule = {
  readonly arn: string;
  readonly listenerArn: string;
  /** From 1 to 50000; the lowest that matches is taken. */
  readonly priority: number;
  /** As {@link import('./conditions.ts').readConditions} completes them. */
  readonly conditions: readonly RuleCondition[];
  readonly actions: readonly Action[];
  readonly tags: Tags;
};

export type TargetGroupProtocol = ListenerProtocol;

export type HealthCheck = {
  readonly enabled: boolean;
  readonly protocol: 'HTTP' | 'HTTPS' | 'TCP';
  /** A port number, or `traffic-port`. */
  readonly port: string;
  /** Of HTTP and HTTPS, as the next. */
  readonly path?: string;
  readonly matcher?: { readonly HttpCode?: string; readonly GrpcCode?: string };
  readonly intervalSeconds: number;
  readonly timeoutSeconds: number;
  readonly healthyThreshold: number;
  readonly unhealthyThreshold: number;
};

export type TargetGroup = {
  readonly arn: string;
  readonly name: string;
  readonly protocol: TargetGroupProtocol;
  /** Of HTTP and HTTPS. */
  readonly protocolVersion?: 'HTTP1' | 'HTTP2' | 'GRPC';
  readonly port: number;
  readonly vpcId: string;
  readonly targetType: 'instance' | 'ip';
  readonly healthCheck: HealthCheck;
  readonly attributes: Readonly<Record<string, string>>;
  /** By id and port: `10.0.1.5:8080`. */
  readonly targets: Readonly<Record<string, Target>>;
  readonly tags: Tags;
};

export type Target = {
  /** An instance id, or an address. */
  readonly id: string;
  readonly port: number;
  /** Of the instance, or of the subnet that has the address; `all` for an address outside of the VPC. */
  readonly availabilityZone: string;
  readonly registeredAt: string;
  /** Since when it is deregistered; it is gone when the deregistration delay is over. */
  readonly drainingSince?: string;
  /** What the health checks of the load balancer have found, once they have found something. */
  readonly health?: TargetHealth;
};

export type TargetHealth = {
  readonly state: 'initial' | 'healthy' | 'unhealthy';
  /** Such as `Target.Timeout`; none of a healthy target. */
  readonly reason?: string;
  readonly description?: string;
};

export type Certificate = {
  readonly arn: string;
  readonly type: 'IMPORTED' | 'AMAZON_ISSUED';
  readonly domainName: string;
  readonly subjectAlternativeNames: readonly string[];
  readonly status: 'PENDING_VALIDATION' | 'ISSUED';
  readonly createdAt: string;
  /** When it was imported or issued. */
  readonly since?: string;
  readonly idempotencyToken?: string;
  readonly validationMethod?: 'DNS' | 'EMAIL';
  /** PEM, as the next two; there once it is issued. */
  readonly certificate?: string;
  readonly chain?: string;
  readonly privateKey?: string;
  readonly tags: Tags;
};
