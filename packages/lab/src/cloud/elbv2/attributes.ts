/** The attributes of load balancers, listeners and target groups: which there are, their defaults, and what they may be. */

import { AwsError } from '../errors.ts';
import { invalid } from './operation.ts';
import type { Listener, LoadBalancer, TargetGroup } from './state.ts';

type Attribute = { readonly default: string; readonly values: RegExp | readonly [from: number, to: number] };
type Table = Readonly<Record<string, Attribute>>;

const flag = (value: 'true' | 'false'): Attribute => ({ default: value, values: /^(true|false)$/ });
const text = (value = ''): Attribute => ({ default: value, values: /^.{0,1024}$/ });
const number = (value: number, from: number, to: number): Attribute => ({
  default: String(value),
  values: [from, to],
});
const oneOf = (value: string, ...others: string[]): Attribute => ({
  default: value,
  values: new RegExp(`^(${[value, ...others].join('|')})$`),
});
/** `off`, or a number up to one. */
const offOr = (value: string, most: number): Attribute => ({
  default: value,
  values: new RegExp(`^(off|[1-9]\\d{0,${String(most).length - 1}})$`),
});

const EVERY_LOAD_BALANCER: Table = {
  'access_logs.s3.enabled': flag('false'),
  'access_logs.s3.bucket': text(),
  'access_logs.s3.prefix': text(),
  'deletion_protection.enabled': flag('false'),
  'ipv6.deny_all_igw_traffic': flag('false'),
  'zonal_shift.config.enabled': flag('false'),
};

const LOAD_BALANCER: Readonly<Record<LoadBalancer['type'], Table>> = {
  application: {
    ...EVERY_LOAD_BALANCER,
    'client_keep_alive.seconds': number(3600, 60, 604_800),
    'connection_logs.s3.enabled': flag('false'),
    'connection_logs.s3.bucket': text(),
    'connection_logs.s3.prefix': text(),
    'idle_timeout.timeout_seconds': number(60, 1, 4000),
    'load_balancing.cross_zone.enabled': oneOf('true'),
    'routing.http.desync_mitigation_mode': oneOf('defensive', 'monitor', 'strictest'),
    'routing.http.drop_invalid_header_fields.enabled': flag('false'),
    'routing.http.preserve_host_header.enabled': flag('false'),
    'routing.http.x_amzn_tls_version_and_cipher_suite.enabled': flag('false'),
    'routing.http.xff_client_port.enabled': flag('false'),
    'routing.http.xff_header_processing.mode': oneOf('append', 'preserve', 'remove'),
    'routing.http2.enabled': flag('true'),
    'waf.fail_open.enabled': flag('false'),
  },
  network: {
    ...EVERY_LOAD_BALANCER,
    'dns_record.client_routing_policy': oneOf(
      'any_availability_zone',
      'partial_availability_zone_affinity',
      'availability_zone_affinity',
    ),
    'load_balancing.cross_zone.enabled': flag('false'),
  },
};

const EVERY_TARGET_GROUP: Table = {
  'deregistration_delay.timeout_seconds': number(300, 0, 3600),
  'load_balancing.cross_zone.enabled': oneOf('use_load_balancer_configuration', 'true', 'false'),
  'stickiness.enabled': flag('false'),
  'target_group_health.dns_failover.minimum_healthy_targets.count': offOr('1', 1000),
  'target_group_health.dns_failover.minimum_healthy_targets.percentage': offOr('off', 100),
  'target_group_health.unhealthy_state_routing.minimum_healthy_targets.count': number(1, 1, 1000),
  'target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage': offOr('off', 100),
};

const HTTP_TARGET_GROUP: Table = {
  ...EVERY_TARGET_GROUP,
  'load_balancing.algorithm.anomaly_mitigation': oneOf('off', 'on'),
  'load_balancing.algorithm.type': oneOf('round_robin', 'least_outstanding_requests', 'weighted_random'),
  'slow_start.duration_seconds': { default: '0', values: /^(0|[3-9]\d|[1-8]\d\d|900)$/ },
  'stickiness.app_cookie.cookie_name': { default: '', values: /^(?!AWSALB)[\w.-]{0,256}$/ },
  'stickiness.app_cookie.duration_seconds': number(86_400, 1, 604_800),
  'stickiness.lb_cookie.duration_seconds': number(86_400, 1, 604_800),
  'stickiness.type': oneOf('lb_cookie', 'app_cookie'),
};

function flowTargetGroup({ protocol, targetType }: Pick<TargetGroup, 'protocol' | 'targetType'>): Table {
  const datagrams = protocol === 'UDP' || protocol === 'TCP_UDP';
  const preserves = datagrams || targetType === 'instance';
  return {
    ...EVERY_TARGET_GROUP,
    'deregistration_delay.connection_termination.enabled': flag(datagrams ? 'true' : 'false'),
    'preserve_client_ip.enabled': datagrams ? oneOf('true') : flag(preserves ? 'true' : 'false'),
    'proxy_protocol_v2.enabled': flag('false'),
    'stickiness.type': oneOf('source_ip'),
    'target_health_state.unhealthy.connection_termination.enabled': datagrams ? oneOf('false') : flag('true'),
    'target_health_state.unhealthy.draining_interval_seconds': number(0, 0, 360_000),
  };
}

const header = (name: string): Table => ({ [`routing.http.${name}`]: text() });

const LISTENER: Readonly<Record<'flow' | 'HTTP' | 'HTTPS', Table>> = {
  flow: { 'tcp.idle_timeout.seconds': number(350, 60, 6000) },
  HTTP: responseHeaders(),
  HTTPS: {
    ...responseHeaders(),
    ...header('request.x_amzn_tls_version.header_name'),
    ...header('request.x_amzn_tls_cipher_suite.header_name'),
    ...header('response.strict_transport_security.header_value'),
  },
};

function responseHeaders(): Table {
  const names = ['origin', 'methods', 'headers', 'credentials'].map((name) => `access_control_allow_${name}`);
  const others = [
    'access_control_expose_headers',
    'access_control_max_age',
    'content_security_policy',
    'x_content_type_options',
    'x_frame_options',
  ];
  return Object.assign(
    { 'routing.http.response.server.enabled': flag('true') },
    ...[...names, ...others].map((name) => header(`response.${name}.header_value`)),
  );
}

export const loadBalancerAttributes = ({ type }: Pick<LoadBalancer, 'type'>): Table => LOAD_BALANCER[type];

export const targetGroupAttributes = (group: Pick<TargetGroup, 'protocol' | 'targetType'>): Table =>
  group.protocol === 'HTTP' || group.protocol === 'HTTPS' ? HTTP_TARGET_GROUP : flowTargetGroup(group);

/** A listener of UDP alone has none. */
export function listenerAttributes({ protocol }: Pick<Listener, 'protocol'>): Table {
  if (protocol === 'UDP') return {};
  return LISTENER[protocol === 'HTTP' || protocol === 'HTTPS' ? protocol : 'flow'];
}

/** All attributes that a resource has: those that were set, and the defaults of the others. */
export function attributesOf(table: Table, set: Readonly<Record<string, string>>): Record<string, string> {
  return {
    ...Object.fromEntries(Object.entries(table).map(([key, { default: value }]) => [key, value])),
    ...set,
  };
}

/** Attributes as ELBv2 answers them. */
export function attributeList(table: Table, set: Readonly<Record<string, string>>) {
  return Object.entries(attributesOf(table, set)).map(([Key, Value]) => ({ Key, Value }));
}

/**
 * Sets attributes.
 * @param what in messages: `Load balancer`.
 * @throws {AwsError} InvalidConfigurationRequest for a key that the table has not, ValidationError for a value that it
 * does not allow.
 */
export function setAttributes(
  table: Table,
  set: Record<string, string>,
  attributes: readonly { Key?: string | undefined; Value?: string | undefined }[],
  what: string,
): void {
  for (const { Key = '', Value = '' } of attributes) {
    const attribute = Object.hasOwn(table, Key) ? table[Key]! : undefined;
    if (!attribute) {
      throw new AwsError('InvalidConfigurationRequest', `${what} attribute key '${Key}' is not recognized`);
    }
    const { values } = attribute;
    const fits =
      values instanceof RegExp
        ? values.test(Value)
        : /^\d+$/.test(Value) && Number(Value) >= values[0] && Number(Value) <= values[1];
    if (!fits) {
      const range = values instanceof RegExp ? values.source : `${values[0]} to ${values[1]}`;
      throw invalid(`${what} attribute value '${Value}' of '${Key}' is not valid: expecting ${range}`);
    }
    set[Key] = Value;
  }
}
