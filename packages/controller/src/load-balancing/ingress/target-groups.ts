/** The target group of a Service's port, as an Ingress and the Service ask for it. */
import type { Service } from '@enid/kube';
import { keyOf } from '@enid/kube';
import type { Annotations } from '../annotations.ts';
import { type AttributeTable, FLAG, readAttributes } from '../attributes.ts';
import { type HealthCheckNames, readHealthCheck } from '../health-check.ts';
import type { ClusterDefaults } from '../model/account.ts';
import { InvalidObject } from '../model/errors.ts';
import { resourceName, stackName } from '../model/identity.ts';
import type { NetworkingRule, Tags, TargetGroupSpec } from '../model/stack.ts';
import { type ServicePort, servicePort } from '../targets/wanted-targets.ts';
import type { IngressStackId } from './groups.ts';

const HEALTH_CHECK: HealthCheckNames = {
  protocol: 'healthcheck-protocol',
  port: 'healthcheck-port',
  path: 'healthcheck-path',
  matcher: 'success-codes',
  intervalSeconds: 'healthcheck-interval-seconds',
  timeoutSeconds: 'healthcheck-timeout-seconds',
  healthyThreshold: 'healthy-threshold-count',
  unhealthyThreshold: 'unhealthy-threshold-count',
};

/** Of application load balancers' target groups: attributes of ELBv2's API. */
const ATTRIBUTES: AttributeTable = {
  'deregistration_delay.timeout_seconds': [0, 3600],
  'slow_start.duration_seconds': [30, 900, 0],
  'stickiness.enabled': FLAG,
  'stickiness.type': /^(lb_cookie|app_cookie)$/,
  'stickiness.lb_cookie.duration_seconds': [1, 604_800],
  'stickiness.app_cookie.duration_seconds': [1, 604_800],
  'load_balancing.algorithm.type': /^(round_robin|least_outstanding_requests|weighted_random)$/,
  'load_balancing.algorithm.anomaly_mitigation': /^(on|off)$/,
  'load_balancing.cross_zone.enabled': /^(true|false|use_load_balancer_configuration)$/,
};

/** A Service's port that does not exist, or that cannot be a backend as it is. */
export class NoBackend extends InvalidObject {}

export type TargetGroupRequest = {
  readonly stack: IngressStackId;
  /** The Ingress; its name for messages. */
  readonly ingress: { readonly namespace: string; readonly name: string; readonly object: string };
  readonly service: Service;
  /** As the Ingress says it: a number or a name. */
  readonly port: number | string;
  /** The class's over the Service's over the Ingress's. */
  readonly annotations: Annotations;
  readonly tags: Tags;
  readonly defaults: ClusterDefaults;
};

/** @throws {NoBackend} @throws {InvalidObject} that names the object whose annotation it is. */
export function targetGroupSpec(request: TargetGroupRequest): TargetGroupSpec {
  const { stack, ingress, service, port, annotations, tags, defaults } = request;
  const key = keyOf(service);
  const { namespace = '', name = '', uid = '' } = service.metadata ?? {};
  const found = servicePort(service, port);
  if (!found) {
    const ports = (service.spec?.ports ?? []).map(({ name, port }) => (name ? `${port} (${name})` : port));
    throw new NoBackend(
      ingress.object,
      `Service ${key} has no port ${port}; it has ${ports.join(', ') || 'none'}`,
    );
  }
  const targetType = annotations.oneOf('target-type', ['instance', 'ip']) ?? defaults.targetType;
  if (targetType === 'instance' && !found.nodePort) {
    throw new NoBackend(
      ingress.object,
      `Service ${key} has no node port for instance targets: make it of type NodePort, or set target-type: ip`,
    );
  }
  const protocol = annotations.oneOf('backend-protocol', ['HTTP', 'HTTPS'], { anyCase: true }) ?? 'HTTP';
  const protocolVersion =
    annotations.oneOf('backend-protocol-version', ['HTTP1', 'HTTP2', 'GRPC'], { anyCase: true }) ?? 'HTTP1';
  const isGrpc = protocolVersion === 'GRPC';
  const healthCheck = readHealthCheck(annotations, {
    names: HEALTH_CHECK,
    protocols: ['HTTP', 'HTTPS'],
    defaults: {
      protocol,
      port: 'traffic-port',
      path: isGrpc ? '/AWS.ALB/healthcheck' : '/',
      matcher: isGrpc ? '12' : '200',
      intervalSeconds: 15,
      timeoutSeconds: 5,
      healthyThreshold: 2,
      unhealthyThreshold: 2,
    },
    timeoutBelowInterval: true,
    portNamed(name) {
      const named = servicePort(service, name);
      const target = named && targetPort(named, targetType);
      return typeof target === 'number' ? target : undefined;
    },
  });
  const target = targetPort(found, targetType);
  const number = typeof target === 'number' ? target : 1;
  const distinguishing = [
    defaults.clusterName,
    stackName(stack),
    ingress.namespace,
    ingress.name,
    uid,
    `${port}`,
    `${number}`,
    targetType,
    protocol,
    protocolVersion,
  ];
  const nodeLabels = annotations.map('target-node-labels');
  return {
    id: `${ingress.namespace}/${ingress.name}-${name}:${port}`,
    name: resourceName({ namespace, name }, distinguishing),
    targetType,
    protocol,
    protocolVersion,
    port: number,
    healthCheck,
    attributes: readAttributes(annotations, 'target-group-attributes', ATTRIBUTES),
    tags,
    binding: {
      namespace,
      service: { name, port },
      ...(targetType === 'instance' &&
        Object.keys(nodeLabels).length > 0 && { nodeSelector: { matchLabels: nodeLabels } }),
      networking: [networking(target, healthCheck.port)],
    },
  };
}

/** The port by which a target knows a port of a Service: a number, or the name of a pod's port. */
function targetPort(
  { port, nodePort, targetPort }: ServicePort,
  targetType: 'instance' | 'ip',
): number | string {
  if (targetType === 'instance') return nodePort ?? port;
  return (targetPort as number | string | undefined) ?? port;
}

/** What the load balancer must reach at its targets: their port, and the one that is checked. */
function networking(target: number | string, checked: string): NetworkingRule {
  const ports = checked === 'traffic-port' ? [target] : [target, Number(checked)];
  return {
    from: [{ securityGroup: { backend: true } }],
    ports: [...new Set(ports)].map((port) => ({ protocol: 'TCP', port })),
  };
}
