/** The ports that clients reach, with their protocols: TCP and UDP on one port are one listener. */
import { namedCertificates } from '../certificates.ts';
import { type Reading, type ServicePort, targetPort } from './reading.ts';

export type Frontend = {
  readonly port: number;
  readonly protocol: 'TCP' | 'UDP' | 'TCP_UDP' | 'TLS';
  /** What targets are spoken to in. */
  readonly targetProtocol: 'TCP' | 'UDP' | 'TCP_UDP' | 'TLS';
  /** A number, or the name of a pod's port. */
  readonly target: number | string;
};

/** What packets to a front end, or to its targets, are of. */
export function transportsOf(protocol: Frontend['protocol']): ('TCP' | 'UDP')[] {
  if (protocol === 'TCP_UDP') return ['TCP', 'UDP'];
  return [protocol === 'UDP' ? 'UDP' : 'TCP'];
}

/** Of the front ends by TLS. */
export type TlsSettings = {
  /** ARNs, the default one first; none: nothing is served by TLS. */
  readonly certificates: readonly string[];
  readonly sslPolicy: string;
  readonly alpnPolicy?: string;
  readonly toTargets: boolean;
  readonly has: (port: ServicePort) => boolean;
};

export async function readTls(reading: Reading): Promise<TlsSettings> {
  const { annotations, spec, world } = reading;
  const certificates = await namedCertificates(world.account, annotations.named('ssl-cert'));
  const listed = annotations.list('ssl-ports');
  const known = new Set(['*', ...(spec.ports ?? []).flatMap(({ name, port }) => [name ?? '*', `${port}`])]);
  for (const port of listed) {
    if (!known.has(port))
      annotations.refuse('ssl-ports', `has "${port}": the Service has no port of that name or number`);
  }
  const alpnPolicy = annotations.oneOf('alpn-policy', [
    'None',
    'HTTP1Only',
    'HTTP2Only',
    'HTTP2Optional',
    'HTTP2Preferred',
  ]);
  // The other words are those of the cloud provider of old, by which much is annotated still.
  const backend = annotations.oneOf('backend-protocol', ['tcp', 'ssl', 'http', 'https']);
  return {
    certificates,
    sslPolicy: annotations.text('ssl-negotiation-policy') ?? world.defaults.sslPolicy,
    ...(alpnPolicy && { alpnPolicy }),
    toTargets: backend === 'ssl',
    has: ({ name, port, protocol = 'TCP' }) =>
      protocol === 'TCP' &&
      certificates.length > 0 &&
      (listed.length === 0 || listed.includes(`${port}`) || (!!name && listed.includes(name))),
  };
}

/**
 * The Service's ports as a network load balancer can have them.
 * @throws {InvalidObject} for protocols that it does not speak, and ports that cannot be joined.
 */
export function frontendsOf(reading: Reading, tls: TlsSettings): Frontend[] {
  const ports = reading.spec.ports ?? [];
  if (ports.length === 0) reading.refuse('spec.ports is empty: a load balancer has one port at least');
  return [...Map.groupBy(ports, ({ port }) => port).values()].map((same) => {
    const [first] = same as [ServicePort];
    const target = targetOf(reading, first);
    if (same.length > 1) {
      joinable(reading, same, tls);
      return { port: first.port, protocol: 'TCP_UDP', targetProtocol: 'TCP_UDP', target };
    }
    const protocol = protocolOf(reading, first);
    return tls.has(first)
      ? { port: first.port, protocol: 'TLS', targetProtocol: tls.toTargets ? 'TLS' : 'TCP', target }
      : { port: first.port, protocol, targetProtocol: protocol, target };
  });
}

function protocolOf(reading: Reading, { protocol = 'TCP', port }: ServicePort): 'TCP' | 'UDP' {
  if (protocol === 'TCP' || protocol === 'UDP') return protocol;
  return reading.refuse(
    `spec.ports: port ${port} is of ${protocol}: a network load balancer carries TCP and UDP`,
  );
}

function targetOf(reading: Reading, port: ServicePort): number | string {
  return (
    targetPort(reading, port) ??
    reading.refuse(
      `spec.ports: port ${port.port} has no nodePort, which targets by instance are reached by: ` +
        'set it, leave spec.allocateLoadBalancerNodePorts at true, or have targets by ip (annotation service.beta.kubernetes.io/aws-load-balancer-nlb-target-type)',
    )
  );
}

function joinable(reading: Reading, same: readonly ServicePort[], tls: TlsSettings): void {
  const [{ port }] = same as [ServicePort];
  const told = `spec.ports: port ${port} is of TCP and UDP`;
  for (const each of same) protocolOf(reading, each);
  if (same.some(tls.has))
    reading.refuse(`${told}, and cannot be of TLS then: leave it out of the annotation ssl-ports`);
  if (reading.annotations.flag('enable-tcp-udp-listener') === false)
    reading.annotations.refuse(
      'enable-tcp-udp-listener',
      `is false, and port ${port} is of TCP and UDP, which one listener alone can serve`,
    );
  const targets = new Set(same.map((each) => targetOf(reading, each)));
  if (targets.size > 1) {
    const field = reading.targetType === 'instance' ? 'nodePort' : 'targetPort';
    reading.refuse(
      `${told} with different targets (${[...targets].join(', ')}): both must have the same ${field}, as one listener serves them`,
    );
  }
}
