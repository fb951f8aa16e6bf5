/** The target group of a front end: what targets are spoken to in, and when they are healthy. */
import { type AttributeTable, FLAG, readAttributes } from '../attributes.ts';
import { type HealthCheckNames, readHealthCheck } from '../health-check.ts';
import { resourceName } from '../model/identity.ts';
import type { HealthCheckSpec, NetworkingRule, TargetGroupSpec } from '../model/stack.ts';
import type { Frontend } from './frontends.ts';
import { type Reading, targetPort } from './reading.ts';

const PROXY_PROTOCOL = 'proxy_protocol_v2.enabled';
const PRESERVE_CLIENT_IP = 'preserve_client_ip.enabled';

const ATTRIBUTES: AttributeTable = {
  'deregistration_delay.timeout_seconds': [0, 3600],
  'deregistration_delay.connection_termination.enabled': FLAG,
  'load_balancing.cross_zone.enabled': /^(true|false|use_load_balancer_configuration)$/,
  [PRESERVE_CLIENT_IP]: FLAG,
  [PROXY_PROTOCOL]: FLAG,
  'stickiness.enabled': FLAG,
  'stickiness.type': /^(source_ip)$/,
  'target_health_state.unhealthy.connection_termination.enabled': FLAG,
  'target_health_state.unhealthy.draining_interval_seconds': [0, 360_000],
};

const HEALTH_CHECK: HealthCheckNames = {
  protocol: 'healthcheck-protocol',
  port: 'healthcheck-port',
  path: 'healthcheck-path',
  matcher: 'healthcheck-success-codes',
  intervalSeconds: 'healthcheck-interval',
  timeoutSeconds: 'healthcheck-timeout',
  healthyThreshold: 'healthcheck-healthy-threshold',
  unhealthyThreshold: 'healthcheck-unhealthy-threshold',
};

const USUAL_CHECK: Required<HealthCheckSpec> = {
  protocol: 'TCP',
  port: 'traffic-port',
  path: '/',
  matcher: '200-399',
  intervalSeconds: 10,
  timeoutSeconds: 10,
  healthyThreshold: 3,
  unhealthyThreshold: 3,
};

/** Of nodes that answer for their own pods alone: kube-proxy tells whether there are any. */
const LOCAL_CHECK: Required<HealthCheckSpec> = {
  ...USUAL_CHECK,
  protocol: 'HTTP',
  path: '/healthz',
  timeoutSeconds: 6,
  healthyThreshold: 2,
  unhealthyThreshold: 2,
};

const NO_CHECK_PORT =
  'spec.healthCheckNodePort is missing: with externalTrafficPolicy Local nodes tell there whether they have pods of the Service';

/** What holds for all target groups of a Service. */
export type Targets = {
  readonly healthCheck: HealthCheckSpec;
  readonly attributes: Readonly<Record<string, string>>;
};

export function readTargets(reading: Reading): Targets {
  return { healthCheck: readCheck(reading), attributes: readTargetGroupAttributes(reading) };
}

function readCheck(reading: Reading): HealthCheckSpec {
  const { spec, targetType, annotations, refuse } = reading;
  const isLocal = targetType === 'instance' && spec.externalTrafficPolicy === 'Local';
  return readHealthCheck(annotations, {
    names: HEALTH_CHECK,
    protocols: ['TCP', 'HTTP', 'HTTPS'],
    defaults: isLocal
      ? { ...LOCAL_CHECK, port: `${spec.healthCheckNodePort || refuse(NO_CHECK_PORT)}` }
      : USUAL_CHECK,
    timeoutBelowInterval: false,
    portNamed(name) {
      const port = spec.ports?.find((each) => each.name === name);
      const target = port && targetPort(reading, port);
      return typeof target === 'number' ? target : undefined;
    },
  });
}

function readTargetGroupAttributes({ annotations }: Reading): Record<string, string> {
  const attributes = readAttributes(annotations, 'target-group-attributes', ATTRIBUTES);
  const proxyProtocol = annotations.oneOf('proxy-protocol', ['*']);
  return {
    [PROXY_PROTOCOL]: 'false',
    ...attributes,
    ...(proxyProtocol && { [PROXY_PROTOCOL]: 'true' }),
  };
}

/** Whether the targets of a front end see their clients' addresses. @throws {InvalidObject} where AWS knows no other way. */
export function preservesClient(
  { annotations, targetType }: Reading,
  { port, targetProtocol }: Frontend,
  { attributes }: Targets,
): boolean {
  const said = attributes[PRESERVE_CLIENT_IP];
  const datagrams = targetProtocol === 'UDP' || targetProtocol === 'TCP_UDP';
  if (datagrams && said === 'false')
    annotations.refuse(
      'target-group-attributes',
      `has ${PRESERVE_CLIENT_IP}=false: targets of UDP always see their clients, as those of port ${port}`,
    );
  return datagrams || (said === undefined ? targetType === 'instance' : said === 'true');
}

export function targetGroup(
  { namespace, name, uid, targetType, tags, annotations, world }: Reading,
  { port, target, targetProtocol: protocol }: Frontend,
  { healthCheck, attributes }: Targets,
  networking: readonly NetworkingRule[],
): TargetGroupSpec {
  // Targets are registered with their ports; a name may mean another number in every pod.
  const targetPort = typeof target === 'number' ? target : 1;
  const labels = targetType === 'instance' ? annotations.map('target-node-labels') : {};
  return {
    id: `${namespace}/${name}:${port}`,
    name: resourceName({ namespace, name }, [
      world.defaults.clusterName,
      uid,
      `${targetPort}`,
      `${port}`,
      targetType,
      protocol,
      healthCheck.protocol,
      `${healthCheck.intervalSeconds}`,
    ]),
    targetType,
    protocol,
    port: targetPort,
    healthCheck,
    attributes,
    tags,
    binding: {
      namespace,
      service: { name, port },
      ...(Object.keys(labels).length > 0 && { nodeSelector: { matchLabels: labels } }),
      networking,
    },
  };
}
