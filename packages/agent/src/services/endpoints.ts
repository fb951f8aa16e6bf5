/** Which endpoints of a Service get its connections, on this node. Pure; kube-proxy's rules. */
import type { Ip } from '@enid/ip';

/** One address and port behind a Service, with what slices say of it. */
export type Endpoint = {
  readonly address: Ip;
  readonly port: number;
  readonly ready: boolean;
  readonly serving: boolean;
  readonly terminating: boolean;
  readonly nodeName: string | undefined;
  /** Zones and nodes that the endpoint is meant for, by trafficDistribution; empty: for everybody. */
  readonly zones: readonly string[];
  readonly nodes: readonly string[];
};

/** The node that chooses. */
export type NodeFacts = {
  readonly name: string;
  readonly zone?: string | undefined;
  /** It is about to be taken away: load balancers are told to leave it. */
  readonly leaving?: boolean;
};

export type Choice = {
  /** For traffic policy Cluster. */
  readonly cluster: readonly Endpoint[];
  /** For traffic policy Local. */
  readonly local: readonly Endpoint[];
  /** Those that may keep the flows that they have. */
  readonly serving: readonly Endpoint[];
};

/**
 * Ready endpoints; where none is ready those that still serve while they terminate.
 * @param endpoints all of one port of a Service.
 */
export function choose(endpoints: readonly Endpoint[], node: NodeFacts): Choice {
  const meantForUs = topology(endpoints, node);
  const local = endpoints.filter(({ nodeName }) => nodeName === node.name);
  return {
    cluster: usable(endpoints, meantForUs),
    local: usable(local),
    serving: endpoints.filter(({ ready, serving }) => ready || serving),
  };
}

function usable(
  endpoints: readonly Endpoint[],
  meantForUs: (endpoint: Endpoint) => boolean = () => true,
): Endpoint[] {
  const ready = endpoints.filter((endpoint) => endpoint.ready && meantForUs(endpoint));
  return ready.length > 0 ? ready : endpoints.filter(({ serving, terminating }) => serving && terminating);
}

/**
 * What trafficDistribution left in the slices as hints: the nearest endpoints, so long as every ready endpoint has
 * hints and one of them is meant for this node (or zone). Else the hints are incomplete, and all endpoints count.
 */
function topology(
  endpoints: readonly Endpoint[],
  { name, zone }: NodeFacts,
): (endpoint: Endpoint) => boolean {
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  const forNode = ({ nodes }: Endpoint) => nodes.includes(name);
  const forZone = ({ zones }: Endpoint) => zone !== undefined && zones.includes(zone);
  if (ready.every(({ nodes }) => nodes.length > 0) && ready.some(forNode)) return forNode;
  if (ready.every(({ zones }) => zones.length > 0) && ready.some(forZone)) return forZone;
  return () => true;
}
