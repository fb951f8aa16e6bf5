/** Defaults of services, endpoints, policies and ingresses (`pkg/apis/core/v1`, `discovery/v1`, `networking/v1`). */
import type { Fields } from '../../object.ts';
import { each, isUnset, made, set, sub } from './set.ts';

const AFFINITY_SECONDS = 3 * 60 * 60;

export function defaultService({ spec }: { spec?: Fields }): void {
  if (!spec) return;
  set(spec, { sessionAffinity: 'None', type: 'ClusterIP' });
  if (spec.sessionAffinity === 'None') delete spec.sessionAffinityConfig;
  else set(made(made(spec, 'sessionAffinityConfig'), 'clientIP'), { timeoutSeconds: AFFINITY_SECONDS });
  for (const port of each(spec, 'ports')) {
    set(port, { protocol: 'TCP' });
    if (isUnset(port.targetPort) || port.targetPort === 0) port.targetPort = port.port;
  }
  const { type } = spec;
  const external = type === 'NodePort' || type === 'LoadBalancer';
  const listed = Array.isArray(spec.externalIPs) && spec.externalIPs.length > 0;
  if (external || (type === 'ClusterIP' && listed)) set(spec, { externalTrafficPolicy: 'Cluster' });
  if (type === 'LoadBalancer') set(spec, { allocateLoadBalancerNodePorts: true });
  if (type !== 'ExternalName') {
    set(spec, { internalTrafficPolicy: 'Cluster', ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack' });
  }
}

export function defaultEndpoints(object: Fields): void {
  for (const subset of each(object, 'subsets')) {
    for (const port of each(subset, 'ports')) set(port, { protocol: 'TCP' });
  }
}

export function defaultEndpointSlice(object: Fields): void {
  for (const port of each(object, 'ports')) {
    port.name ??= '';
    set(port, { protocol: 'TCP' });
  }
}

export function defaultNetworkPolicy({ spec }: { spec?: Fields }): void {
  if (!spec) return;
  made(spec, 'podSelector');
  for (const rule of [...each(spec, 'ingress'), ...each(spec, 'egress')]) {
    for (const port of each(rule, 'ports')) set(port, { protocol: 'TCP' });
  }
  if (Array.isArray(spec.policyTypes) && spec.policyTypes.length > 0) return;
  spec.policyTypes = each(spec, 'egress').length > 0 ? ['Ingress', 'Egress'] : ['Ingress'];
}

export function defaultIngressClass({ spec }: { spec?: Fields }): void {
  const parameters = sub(spec, 'parameters');
  if (parameters) set(parameters, { scope: 'Cluster' });
}
