import { randomInt } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { addressAt, contains, type Ipv4Cidr, isIpv4, parseIpv4Cidr, sizeOf } from '@enid/ip';
import type { Fields, KubeObject, StoredObject } from '../../object.ts';
import { ApiError, type Cause, field, invalid } from '../../status.ts';
import { BUILT_IN } from '../resources.ts';
import type { Cluster, Strategy } from '../strategy.ts';

const SERVICES = BUILT_IN.find(({ storage }) => storage === 'services')!;
const NODE_PORTS = { first: 30000, last: 32767 };
/** Of a range of addresses, what is kept for those who choose an address themselves (KEP-3070). */
const CHOSEN = { least: 16, most: 256, step: 16 };

type Port = Fields & { port: number; protocol: string; nodePort?: number };
type Spec = Fields & {
  type: string;
  clusterIP?: string;
  clusterIPs?: string[];
  ports?: Port[];
  healthCheckNodePort?: number;
};

/** Addresses and ports of services are claims on what all services share: they are made last, when all else is right. */
export const services: Strategy = {
  create(service) {
    service.status = { loadBalancer: {} };
  },
  update(service, old) {
    const [spec, was] = [service.spec as Spec, old.spec as Spec];
    if (hasClusterIp(spec) && hasClusterIp(was)) {
      // What a client leaves out is not taken away: it was given by the server.
      for (const key of ['clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy']) {
        if (was[key] !== undefined) spec[key] ??= was[key];
      }
    }
    if (hasNodePorts(spec) && hasNodePorts(was)) keepNodePorts(spec, was);
    if (wantsHealthCheck(spec) && was.healthCheckNodePort) {
      spec.healthCheckNodePort ??= was.healthCheckNodePort;
    }
    dropOfOtherTypes(spec, was);
    if (spec.type !== 'LoadBalancer') service.status = { loadBalancer: {} };
  },
  allocate(service, old, cluster) {
    const spec = service.spec as Spec;
    if (hasClusterIp(spec)) allocateAddress(service, spec, old, cluster);
    if (hasNodePorts(spec)) allocatePorts(service, spec, old, cluster);
  },
};

const hasClusterIp = ({ type }: Spec) => type !== 'ExternalName';
const hasNodePorts = ({ type, allocateLoadBalancerNodePorts }: Spec) =>
  type === 'NodePort' || (type === 'LoadBalancer' && allocateLoadBalancerNodePorts !== false);
const wantsHealthCheck = ({ type, externalTrafficPolicy }: Spec) =>
  type === 'LoadBalancer' && externalTrafficPolicy === 'Local';

/** Drops what was left as it was and has no meaning any more. What a client says anew is for validation. */
function dropOfOtherTypes(spec: Spec, was: Spec): void {
  const dropUnchanged = (...keys: string[]) => {
    for (const key of keys) if (isDeepStrictEqual(spec[key], was[key])) delete spec[key];
  };
  if (!hasNodePorts(spec) && hasNodePorts(was)) {
    const before = new Set((was.ports ?? []).map(({ nodePort }) => nodePort));
    for (const port of spec.ports ?? []) if (before.has(port.nodePort)) delete port.nodePort;
  }
  if (!['NodePort', 'LoadBalancer'].includes(spec.type)) dropUnchanged('externalTrafficPolicy');
  if (spec.type !== 'LoadBalancer') dropUnchanged('allocateLoadBalancerNodePorts', 'loadBalancerClass');
  if (!wantsHealthCheck(spec)) dropUnchanged('healthCheckNodePort');
  if (!hasClusterIp(spec) && hasClusterIp(was)) {
    dropUnchanged('clusterIP', 'clusterIPs', 'ipFamilies', 'ipFamilyPolicy', 'internalTrafficPolicy');
  }
}

/** A port that is named again without its node port has the one that it had. */
function keepNodePorts(spec: Spec, was: Spec): void {
  const key = ({ port, protocol }: Port) => `${protocol} ${port}`;
  const known = new Map((was.ports ?? []).map((port) => [key(port), port.nodePort]));
  const taken = new Set((spec.ports ?? []).flatMap(({ nodePort }) => nodePort ?? []));
  for (const port of spec.ports ?? []) {
    const before = known.get(key(port));
    if (!port.nodePort && before && !taken.has(before)) port.nodePort = before;
  }
}

function others(old: StoredObject | undefined, { store }: Cluster): Spec[] {
  return [...store.all('services')]
    .filter(({ metadata }) => metadata.uid !== old?.metadata.uid)
    .map(({ spec }) => spec as Spec);
}

function refuse(service: KubeObject, cause: Cause): ApiError {
  return invalid(SERVICES, service.metadata.name ?? '', [cause]);
}

function allocateAddress(
  service: KubeObject,
  spec: Spec,
  old: StoredObject | undefined,
  cluster: Cluster,
): void {
  const wanted = spec.clusterIP || spec.clusterIPs?.[0];
  spec.ipFamilies ??= ['IPv4'];
  spec.ipFamilyPolicy ??= 'SingleStack';
  if (wanted === 'None') {
    Object.assign(spec, { clusterIP: 'None', clusterIPs: ['None'] });
    return;
  }
  if (wanted && wanted === (old?.spec as Spec | undefined)?.clusterIP) return;
  const taken = new Set(others(old, cluster).map(({ clusterIP }) => clusterIP));
  const range = parseIpv4Cidr(cluster.serviceCidr);
  const address = wanted ?? freeAddress(range, taken);
  if (address === undefined) {
    throw new ApiError(
      'InternalError',
      `no address of ${cluster.serviceCidr} is free for a service; delete services`,
    );
  }
  if (wanted && !(isIpv4(wanted) && contains(range, wanted) && !isEnd(range, wanted))) {
    const why = `failed to allocate IP ${wanted}: the provided IP is not in the valid range. The range of valid IPs is ${cluster.serviceCidr}`;
    throw refuse(service, field.invalid('spec.clusterIPs', [wanted], why));
  }
  if (taken.has(address)) {
    const why = `failed to allocate IP ${address}: provided IP is already allocated`;
    throw refuse(service, field.invalid('spec.clusterIPs', [address], why));
  }
  Object.assign(spec, { clusterIP: address, clusterIPs: [address] });
}

/** The first address and the last one are no service's. */
function isEnd(range: Ipv4Cidr, address: string): boolean {
  return address === addressAt(range, 0) || address === addressAt(range, sizeOf(range) - 1);
}

/** A random one, and only when there is no other one of those that are meant to be chosen. */
function freeAddress(range: Ipv4Cidr, taken: ReadonlySet<string | undefined>): string | undefined {
  const size = sizeOf(range);
  const chosen = Math.min(
    Math.max(CHOSEN.least, Math.floor(size / CHOSEN.step)),
    CHOSEN.most,
    Math.floor(size / 2),
  );
  for (const [low, high] of [
    [chosen, size - 1],
    [1, chosen],
  ] as const) {
    if (high <= low) continue;
    const start = randomInt(low, high);
    for (let i = 0; i < high - low; i += 1) {
      const address = addressAt(range, low + ((start - low + i) % (high - low)));
      if (!taken.has(address)) return address;
    }
  }
  return undefined;
}

function allocatePorts(
  service: KubeObject,
  spec: Spec,
  old: StoredObject | undefined,
  cluster: Cluster,
): void {
  const key = (protocol: string, port: number) => `${protocol} ${port}`;
  const taken = new Set<string>();
  for (const other of others(old, cluster)) {
    for (const { protocol, nodePort } of other.ports ?? []) if (nodePort) taken.add(key(protocol, nodePort));
    if (other.healthCheckNodePort) taken.add(key('TCP', other.healthCheckNodePort));
  }
  const claim = (protocol: string, wanted: number | undefined, path: string) => {
    const port = wanted || freePort((candidate) => taken.has(key(protocol, candidate)));
    if (taken.has(key(protocol, port)))
      throw refuse(service, field.invalid(path, port, 'provided port is already allocated'));
    taken.add(key(protocol, port));
    return port;
  };
  // Those that were chosen first, so that none of them is given away.
  const ports = [...(spec.ports ?? []).entries()].sort(
    ([, a], [, b]) => (b.nodePort ?? 0) - (a.nodePort ?? 0),
  );
  for (const [index, port] of ports) {
    port.nodePort = claim(port.protocol, port.nodePort, `spec.ports[${index}].nodePort`);
  }
  if (wantsHealthCheck(spec)) {
    spec.healthCheckNodePort = claim('TCP', spec.healthCheckNodePort, 'spec.healthCheckNodePort');
  }
}

function freePort(isTaken: (port: number) => boolean): number {
  const count = NODE_PORTS.last - NODE_PORTS.first + 1;
  const start = randomInt(count);
  for (let i = 0; i < count; i += 1) {
    const port = NODE_PORTS.first + ((start + i) % count);
    if (!isTaken(port)) return port;
  }
  throw new ApiError(
    'InternalError',
    'no node port is free; delete services of type NodePort or LoadBalancer',
  );
}
