/** Network load balancers, as far as they end connections and begin others, or say who the client is. */
import type { ServingListener, ServingLoadBalancer, ServingTargetGroup } from '../../cloud/elbv2/serving.ts';
import { isPassedOn, targetGroupOf } from '../flows.ts';
import { eligible, type IsHealthy, type ZoneNode } from '../targets.ts';
import type { Backend, Configuration } from './configuration.ts';
import type { Section } from './syntax.ts';
import { type Files, tlsOf, tlsToTargets } from './tls.ts';

/** https://docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-listeners.html#alpn-policies */
const ALPN: Readonly<Record<string, readonly string[]>> = {
  HTTP1Only: ['http/1.1', 'http/1.0'],
  HTTP2Only: ['h2'],
  HTTP2Optional: ['http/1.1', 'http/1.0', 'h2'],
  HTTP2Preferred: ['h2', 'http/1.1', 'http/1.0'],
};

/** How long AWS remembers a connection on which nothing is said, in seconds, unless the listener says otherwise. */
const IDLE = 350;

/** @param certificates where the files of listeners are to be. */
export function networkOf(
  loadBalancer: ServingLoadBalancer,
  nodes: readonly ZoneNode[],
  isHealthy: IsHealthy,
  certificates: string,
): Configuration {
  const served = loadBalancer.listeners.flatMap((listener) => {
    const group = targetGroupOf(loadBalancer, listener);
    return group && listener.protocol !== 'UDP' && !isPassedOn(listener, group) ? [{ listener, group }] : [];
  });
  const files = new Map<string, string>();
  const frontends = served.map(({ listener }): Section => {
    const { protocol, port, alpnPolicy } = listener;
    const tls = protocol === 'TLS' && tlsOf(listener, certificates, ALPN[alpnPolicy ?? ''] ?? []);
    for (const [path, content] of (tls ? tls.files : new Map()) as Files) files.set(path, content);
    return {
      header: `frontend ${port}`,
      lines: [
        ...nodes.map(({ zone, address }) =>
          `bind ${address}:${port} name ${zone} ${tls ? tls.options : ''}`.trimEnd(),
        ),
        `use_backend ${port}:%[so_name]`,
      ],
    };
  });
  const defaults: Section = {
    header: 'defaults',
    lines: ['mode tcp', 'timeout connect 10s', `timeout client ${IDLE}s`, `timeout server ${IDLE}s`],
  };
  return {
    sections: frontends.length > 0 ? [defaults, ...frontends] : [],
    backends: served.flatMap(({ listener, group }) =>
      nodes.map((node) => backend(listener, group, node, isHealthy)),
    ),
    files,
    isTransparent: served.some(({ group }) => preservesClient(group)),
  };
}

const preservesClient = ({ attributes }: ServingTargetGroup): boolean =>
  attributes['preserve_client_ip.enabled'] === 'true';

/** A listener's target group as a zone's node serves it. */
function backend(
  { port, attributes: { 'tcp.idle_timeout.seconds': idle } }: ServingListener,
  group: ServingTargetGroup,
  { zone, address, link }: ZoneNode,
  isHealthy: IsHealthy,
): Backend {
  const name = `${port}:${zone}`;
  const isSticky = group.attributes['stickiness.enabled'] === 'true';
  const announces = group.attributes['proxy_protocol_v2.enabled'] === 'true';
  return {
    name,
    header: `backend ${name}`,
    lines: [
      ...(isSticky ? ['balance source', 'hash-type consistent'] : ['balance random(1)']),
      preservesClient(group) ? `source 0.0.0.0 usesrc clientip interface ${link}` : `source ${address}`,
      `timeout tunnel ${idle}s`,
      'retries 0',
    ],
    options: [...tlsToTargets(group), ...(announces ? ['send-proxy-v2'] : [])].join(' '),
    servers: eligible(group, zone, isHealthy).map((target) => `${target.address}:${target.port}`),
  };
}
