/** From a Service and its EndpointSlices to what a node must do about each of its ports. Pure. */
import { createHash } from 'node:crypto';
import {
  type Cidr,
  contains,
  familyOf,
  type Ip,
  networkOf,
  parseCidr,
  parseIp,
  prefixLength,
} from '@enid/ip';
import { type Choice, choose, type Endpoint, type NodeFacts } from './endpoints.ts';
import {
  type EndpointSlice,
  isLeftToOthers,
  nameOf,
  type Service,
  type ServicePortSpec,
  type SliceEndpoint,
} from './kubernetes.ts';

export type Protocol = 'tcp' | 'udp' | 'sctp';

/** Where connections arrive. Without an address: at every address of the node, a NodePort. */
export type Frontend = {
  readonly address: Ip | undefined;
  readonly port: number;
  /** Whether it is for clients outside the cluster, so that externalTrafficPolicy holds. */
  readonly external: boolean;
  /** The only sources that may connect; undefined: all. Disjoint. */
  readonly sources?: readonly Cidr[];
};

/** One port of a Service in one family of addresses. */
export type ServicePort = {
  /** For the names of chains and maps: `namespace/name/port`, without the last part where the port has no name; see {@link idOf}. */
  readonly id: string;
  /** `namespace/name` */
  readonly service: string;
  readonly family: 4 | 6;
  readonly protocol: Protocol;
  readonly frontends: readonly Frontend[];
  readonly internalLocal: boolean;
  readonly externalLocal: boolean;
  /** Seconds for which a client stays with its endpoint; undefined: it does not. */
  readonly affinity: number | undefined;
  readonly endpoints: Choice;
};

/** What is wrong with something, and what follows. Told once. */
export type Problem = {
  /** `namespace/name`; undefined when it concerns the node. */
  readonly service: string | undefined;
  /** In one word, as events have it. */
  readonly reason: string;
  readonly message: string;
};

/** What the health check of a load balancer asks for: externalTrafficPolicy Local. */
export type HealthCheck = {
  readonly port: number;
  readonly namespace: string;
  readonly name: string;
  readonly localEndpoints: number;
};

export type ServiceModel = {
  readonly name: string;
  /** For who came first, where two want the same. */
  readonly created: number;
  readonly ports: readonly ServicePort[];
  readonly healthCheck: HealthCheck | undefined;
  readonly problems: readonly Problem[];
};

export type ModelOptions = {
  readonly families: readonly (4 | 6)[];
  /** Where endpoints are expected: the VPC's blocks. One elsewhere is used and reported. None of a family: anywhere. */
  readonly endpointCidrs: readonly Cidr[];
};

/** The longest that the longest name of a chain has room for: nftables has 255 characters for it. */
const ID_LENGTH = 160;
const DEFAULT_AFFINITY_SECONDS = 10_800;
/** Addresses that no connection can be sent on to: this host, loopback, link-local, multicast. */
const UNUSABLE = /^(0|127|169\.254|22[4-9]|2[3-5]\d)\.|^(::1?$|fe[89ab]|ff)/;

/** Characters of annotations from which on a Service is a burden to the nodes, all of which read all of it. */
const LARGE_ANNOTATIONS = 65_536;

/** What cannot be used is left out and named in `problems`: the rest of the Service works. Never throws. */
export function modelOf(
  service: Service,
  slices: readonly EndpointSlice[],
  node: NodeFacts,
  options: ModelOptions,
): ServiceModel {
  const name = nameOf(service);
  const problems = new Problems(name);
  const created = +new Date(service.metadata?.creationTimestamp ?? 0) || 0;
  try {
    const ports = isProxied(service) ? portsOf(service, slices, node, options, problems) : [];
    if (ports.length > 0) weigh(service, problems);
    const healthCheck = healthCheckOf(service, ports, node);
    return { name, created, ports, healthCheck, problems: problems.list };
  } catch (error) {
    // What the API server should not have let pass keeps no other Service from its rules.
    problems.add(
      'InvalidService',
      `it or one of its EndpointSlices cannot be read, so it is not served: ${(error as Error).message}`,
    );
    return { name, created, ports: [], healthCheck: undefined, problems: problems.list };
  }
}

function weigh({ metadata }: Service, problems: Problems): void {
  const annotations = Object.entries(metadata?.annotations ?? {});
  const size = annotations.reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  if (size <= LARGE_ANNOTATIONS) return;
  problems.add(
    'LargeAnnotations',
    `annotations of ${Math.round(size / 1024)} KiB go to every node whenever the Service changes: keep them elsewhere`,
  );
}

function isProxied(service: Service): boolean {
  const { type, clusterIP } = service.spec ?? {};
  return (
    type !== 'ExternalName' &&
    clusterIP !== undefined &&
    clusterIP !== '' &&
    clusterIP !== 'None' &&
    !isLeftToOthers(service)
  );
}

function portsOf(
  service: Service,
  slices: readonly EndpointSlice[],
  node: NodeFacts,
  options: ModelOptions,
  problems: Problems,
): ServicePort[] {
  const spec = service.spec!;
  const own = slices.filter((slice) => !isLeftToOthers(slice));
  const addresses = addressesOf(service, problems);
  const ranges = sourceRanges(spec.loadBalancerSourceRanges, problems);
  const { sessionAffinity, sessionAffinityConfig } = spec;
  const seconds = sessionAffinityConfig?.clientIP?.timeoutSeconds;
  const sticky = Number.isInteger(seconds) && seconds! > 0 ? seconds : DEFAULT_AFFINITY_SECONDS;
  const affinity = sessionAffinity === 'ClientIP' ? sticky : undefined;
  return options.families.flatMap((family) =>
    (spec.ports ?? []).flatMap((port) => {
      const protocol = (port.protocol ?? 'TCP').toLowerCase();
      const id = idOf(service, port);
      if (!isProtocol(protocol)) {
        problems.add(
          'UnknownProtocol',
          `port ${port.port} is ${port.protocol}, which is none of TCP, UDP and SCTP`,
        );
        return [];
      }
      if (!isPort(port.port)) {
        problems.add('InvalidPort', `port "${port.name ?? ''}" ${port.port} is none`);
        return [];
      }
      if (!/^[A-Za-z0-9./_-]+$/.test(id)) {
        problems.add(
          'InvalidPort',
          `port "${port.name ?? ''}" has a name with other characters than letters, digits and -`,
        );
        return [];
      }
      const ofFamily = addresses.filter(({ address }) => familyOf(address) === family);
      const frontends: Frontend[] = ofFamily.map(({ address, kind }) => ({
        address,
        port: port.port,
        external: kind !== 'cluster',
        ...(kind === 'load-balancer' &&
          ranges && { sources: ranges.filter((range) => familyOf(range) === family) }),
      }));
      // Of a family that the Service has no address in, its node ports are not either.
      if (!ofFamily.some(({ kind }) => kind === 'cluster')) return [];
      if (isPort(port.nodePort)) frontends.push({ address: undefined, port: port.nodePort, external: true });
      else if (port.nodePort) problems.add('InvalidPort', `nodePort ${port.nodePort} is none`);
      const endpoints = endpointsOf(port, protocol, family, own, options.endpointCidrs, problems);
      return [
        {
          id,
          service: nameOf(service),
          family,
          protocol,
          frontends,
          internalLocal: spec.internalTrafficPolicy === 'Local',
          externalLocal: spec.externalTrafficPolicy === 'Local',
          affinity,
          endpoints: choose(endpoints, node),
        },
      ];
    }),
  );
}

/** Unlike for all ports. What is too long, as Kubernetes lets it be, ends with `_` and a hash: no name there has that character. */
function idOf(service: Service, { name }: ServicePortSpec): string {
  const id = name ? `${nameOf(service)}/${name}` : nameOf(service);
  if (id.length <= ID_LENGTH) return id;
  const hash = createHash('sha256').update(id).digest('hex').slice(0, 32);
  return `${id.slice(0, ID_LENGTH - 1 - hash.length)}_${hash}`;
}

type AddressKind = 'cluster' | 'external' | 'load-balancer';

/** The Service's own addresses, each once. */
function addressesOf({ spec, status }: Service, problems: Problems): { address: Ip; kind: AddressKind }[] {
  const { clusterIP = '', clusterIPs = [clusterIP], externalIPs = [] } = spec!;
  // A proxy is a load balancer that connects to the node ports itself: its address is not the node's to answer.
  const vips = (status?.loadBalancer?.ingress ?? []).filter(
    ({ ip, ipMode = 'VIP' }) => ip && ipMode === 'VIP',
  );
  const written: [AddressKind, string][] = [
    ...clusterIPs.map((text) => ['cluster', text] as [AddressKind, string]),
    ...vips.map(({ ip }) => ['load-balancer', ip!] as [AddressKind, string]),
    ...externalIPs.map((text) => ['external', text] as [AddressKind, string]),
  ];
  const addresses = new Map<Ip, { address: Ip; kind: AddressKind }>();
  for (const [kind, text] of written) {
    const address = ipOf(text);
    if (!address) problems.add('InvalidAddress', `"${text}" is no IP address`);
    else if (!addresses.has(address)) addresses.set(address, { address, kind });
  }
  return [...addresses.values()];
}

/** Blocks that do not overlap; undefined when there is no restriction, empty when no source is allowed. */
function sourceRanges(texts: readonly string[] | undefined, problems: Problems): Cidr[] | undefined {
  if (!texts || texts.length === 0) return undefined;
  const blocks = texts.flatMap((text) => {
    try {
      return [parseCidr(text.trim())];
    } catch {
      problems.add(
        'InvalidSourceRange',
        `"${text}" in loadBalancerSourceRanges is no CIDR block, and allows nobody`,
      );
      return [];
    }
  });
  return disjoint(blocks);
}

/** Blocks without those that lie in another: nftables takes none that overlap. */
export function disjoint(blocks: readonly Cidr[]): Cidr[] {
  const widestFirst = [...new Set(blocks)].sort((a, b) => prefixLength(a) - prefixLength(b));
  return widestFirst.filter(
    (block, index) => !widestFirst.slice(0, index).some((wider) => contains(wider, networkOf(block))),
  );
}

/** The endpoints of one port, each address and port once: during a change a pod may be in two slices. */
function endpointsOf(
  { name }: ServicePortSpec,
  protocol: Protocol,
  family: 4 | 6,
  slices: readonly EndpointSlice[],
  cidrs: readonly Cidr[],
  problems: Problems,
): Endpoint[] {
  const endpoints = new Map<string, Endpoint>();
  for (const slice of slices) {
    if (slice.addressType !== (family === 4 ? 'IPv4' : 'IPv6')) continue;
    for (const port of slice.ports ?? []) {
      if ((port.name ?? '') !== (name ?? '') || (port.protocol ?? 'TCP').toLowerCase() !== protocol) continue;
      if (!isPort(port.port)) continue;
      for (const written of slice.endpoints ?? []) {
        const address = endpointAddress(written, family, cidrs, problems);
        if (!address) continue;
        const endpoint = endpointOf(written, address, port.port);
        const key = `${address} ${port.port}`;
        if (!endpoints.get(key)?.ready) endpoints.set(key, endpoint);
      }
    }
  }
  return [...endpoints.values()];
}

function endpointAddress(
  { addresses: [text = ''] }: SliceEndpoint,
  family: 4 | 6,
  cidrs: readonly Cidr[],
  problems: Problems,
): Ip | undefined {
  const address = ipOf(text);
  if (!address || familyOf(address) !== family || UNUSABLE.test(address)) {
    problems.add(
      'InvalidEndpoint',
      `"${text}" is no address that connections can be sent on to, and gets none`,
    );
    return undefined;
  }
  const blocks = cidrs.filter((block) => familyOf(block) === family);
  if (blocks.length > 0 && !blocks.some((block) => contains(block, address))) {
    problems.add(
      'EndpointOutsideNetwork',
      `the endpoint ${text} is in none of ${blocks.join(', ')}: is it reachable?`,
    );
  }
  return address;
}

function endpointOf({ conditions, nodeName, hints }: SliceEndpoint, address: Ip, port: number): Endpoint {
  const ready = conditions?.ready ?? true;
  return {
    address,
    port,
    ready,
    serving: conditions?.serving ?? ready,
    terminating: conditions?.terminating ?? false,
    nodeName,
    zones: (hints?.forZones ?? []).map(({ name }) => name),
    nodes: (hints?.forNodes ?? []).map(({ name }) => name),
  };
}

function healthCheckOf(
  { metadata, spec }: Service,
  ports: readonly ServicePort[],
  node: NodeFacts,
): HealthCheck | undefined {
  const port = spec?.healthCheckNodePort;
  if (!port || spec.externalTrafficPolicy !== 'Local' || ports.length === 0) return undefined;
  const ready = ports.flatMap(({ endpoints }) =>
    endpoints.serving.filter((endpoint) => endpoint.ready && endpoint.nodeName === node.name),
  );
  return {
    port,
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    localEndpoints: new Set(ready.map(({ address }) => address)).size,
  };
}

/** The problems of one Service: one of each reason, with how many more there are. */
class Problems {
  readonly #service: string;
  readonly #byReason = new Map<string, { message: string; more: number }>();

  constructor(service: string) {
    this.#service = service;
  }

  add(reason: string, message: string): void {
    const known = this.#byReason.get(reason);
    if (!known) this.#byReason.set(reason, { message, more: 0 });
    else if (known.message !== message) known.more++;
  }

  get list(): Problem[] {
    return [...this.#byReason].map(([reason, { message, more }]) => ({
      service: this.#service,
      reason,
      message: more > 0 ? `${message} (and ${more} more)` : message,
    }));
  }
}

function isProtocol(text: string): text is Protocol {
  return text === 'tcp' || text === 'udp' || text === 'sctp';
}

function isPort(value: number | undefined): value is number {
  return Number.isInteger(value) && value! >= 1 && value! <= 65_535;
}

function ipOf(text: string): Ip | undefined {
  try {
    return parseIp(text);
  } catch {
    return undefined;
  }
}
