/** Application load balancers. */
import type { ServingListener, ServingLoadBalancer, ServingTargetGroup } from '../../cloud/elbv2/serving.ts';
import { eligible, type IsHealthy, type ZoneNode } from '../targets.ts';
import { groupName, ruleLines } from './actions.ts';
import type { Backend, Configuration } from './configuration.ts';
import { keep, keptOf, NOW } from './cookies.ts';
import { requestHeaders, responseHeaders } from './forwarding.ts';
import { ASKED, errors, returnError } from './responses.ts';
import { matches, type Section } from './syntax.ts';
import { type Files, tlsOf, tlsToTargets } from './tls.ts';

/** How long AWS tries to connect to a target, in milliseconds. */
const CONNECT = 10_000;

const ALGORITHMS: Readonly<Record<string, string>> = {
  round_robin: 'roundrobin',
  least_outstanding_requests: 'leastconn',
  weighted_random: 'random(1)',
};

/** @param certificates where the files of listeners are to be. */
export function applicationOf(
  loadBalancer: ServingLoadBalancer,
  nodes: readonly ZoneNode[],
  isHealthy: IsHealthy,
  certificates: string,
): Configuration {
  const { attributes, listeners, targetGroups } = loadBalancer;
  const files = new Map<string, string>();
  const frontends = listeners.map((listener) => frontend(loadBalancer, listener, nodes, certificates, files));
  const idle = `${attributes['idle_timeout.timeout_seconds']}s`;
  const defaults: Section = {
    header: 'defaults',
    lines: [
      'mode http',
      `timeout connect ${CONNECT}ms`,
      ...['client', 'server', 'http-request', 'http-keep-alive', 'tunnel'].map(
        (what) => `timeout ${what} ${idle}`,
      ),
      // A target that does not answer is the client's to know of, as with AWS.
      'retries 0',
      // A process that is replaced answers once more on a connection that it has, since a request may be on its way.
      'option idle-close-on-response',
      'option disable-h2-upgrade',
    ],
  };
  return {
    sections: frontends.length > 0 ? [defaults, ...frontends] : [],
    backends: nodes.flatMap((node) =>
      Object.values(targetGroups).map((group) => backend(group, node, isHealthy)),
    ),
    files,
    isTransparent: false,
  };
}

function frontend(
  loadBalancer: ServingLoadBalancer,
  listener: ServingListener,
  nodes: readonly ZoneNode[],
  certificates: string,
  files: Map<string, string>,
): Section {
  const { protocol, port, attributes } = listener;
  const isTold = attributes['routing.http.response.server.enabled'] !== 'false';
  const isHttp2 = loadBalancer.attributes['routing.http2.enabled'] === 'true';
  const tls = protocol === 'HTTPS' && tlsOf(listener, certificates, [...(isHttp2 ? ['h2'] : []), 'http/1.1']);
  for (const [path, content] of (tls ? tls.files : new Map()) as Files) files.set(path, content);
  return {
    header: `frontend ${protocol.toLowerCase()}-${port}`,
    lines: [
      ...nodes.map(({ zone, address }) =>
        `bind ${address}:${port} name ${zone} ${tls ? tls.options : ''}`.trimEnd(),
      ),
      ...errors(isTold, CONNECT),
      ...responseHeaders(listener),
      NOW,
      ...ruleLines(listener),
      ...requestHeaders(loadBalancer, listener),
      'use_backend %[var(txn.group)]:%[so_name]',
    ],
  };
}

/** A target group as a zone's node serves it. */
function backend(group: ServingTargetGroup, { zone, address }: ZoneNode, isHealthy: IsHealthy): Backend {
  const { attributes } = group;
  const name = `${groupName(group.arn)}:${zone}`;
  const slow = attributes['slow_start.duration_seconds'];
  const servers = eligible(group, zone, isHealthy).map((target) => `${target.address}:${target.port}`);
  return {
    name,
    header: `backend ${name}`,
    lines: [
      `balance ${ALGORITHMS[attributes['load_balancing.algorithm.type']!]}`,
      `source ${address}`,
      // HAProxy's own count is zero in a process that only finishes what it has begun.
      ...(servers.length === 0 ? [returnError(503, true)] : [ASKED]),
      ...stickiness(group),
    ],
    options: [...tlsToTargets(group), ...(slow === '0' ? [] : [`slowstart ${slow}s`])].join(' '),
    servers,
  };
}

/** https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html#sticky-sessions */
function stickiness({ arn, attributes }: ServingTargetGroup): string[] {
  if (attributes['stickiness.enabled'] !== 'true') return [];
  const type = attributes['stickiness.type']!;
  const seconds = Number(attributes[`stickiness.${type}.duration_seconds`]);
  const application = type === 'app_cookie' && attributes['stickiness.app_cookie.cookie_name'];
  const cookie = application ? 'AWSALBAPP-0' : 'AWSALB';
  const { value, isValid } = keptOf(cookie);
  // Of another target group, that are of the same load balancer, there is another choice to be made.
  const group = groupName(arn);
  const mine = matches(`${value},field(1,@)`, '-m str', [group]);
  const isAsked = application ? ` { req.cook(${application}) -m found }` : '';
  return [
    `use-server %[${value},field(2,@)] if ${mine} ${isValid}${isAsked}`,
    ...keep(
      cookie,
      `${group}@%[srv_name]`,
      seconds,
      application ? `if { res.cook(${application}) -m found }` : '',
    ),
  ];
}
