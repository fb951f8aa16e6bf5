/** What one port of a Service is in the tables. Pure. */
import { type Cidr, familyOf, type Ip, networkOf, prefixLength } from '@enid/ip';
import type { Endpoint } from './endpoints.ts';
import { ANY, affinityMaps, Chains, type Family } from './layout.ts';
import type { Frontend, ServicePort } from './model.ts';
import { concat, type Objects, objectKey } from './objects.ts';
import { type Placement, place, type Range } from './placement.ts';

export type PlanOptions = {
  readonly nodeName: string;
  /** The node's links to its pods, as nft matches names: `eni*`. Undefined: pods are not told from others. */
  readonly podLinks: string | undefined;
};

export function familyName(family: 4 | 6): Family {
  return family === 4 ? 'ip' : 'ip6';
}

/** A frontend as the beginning of keys: the same for two that cannot be told apart. */
export function frontendKey({ family, protocol }: ServicePort, { address, port }: Frontend): string {
  return concat(address ?? ANY[familyName(family)], protocol, port);
}

/** Where the endpoints of a port of a Service stand. @param previous the slots as they were. */
export function placementOf(port: ServicePort, previous: readonly (string | undefined)[]): Placement<string> {
  const { cluster, local } = port.endpoints;
  const needsLocal =
    port.internalLocal || (port.externalLocal && port.frontends.some(({ external }) => external));
  return place(new Set(needsLocal ? local.map(target) : []), new Set(cluster.map(target)), previous);
}

/** An endpoint as the value of a map. */
export function target({ address, port }: { readonly address: Ip; readonly port: number }): string {
  return concat(address, port);
}

/**
 * Everything that has to be in the tables for one port of a Service.
 * @param frontends those of the port's frontends that no other Service has.
 */
export function objectsOf(
  port: ServicePort,
  frontends: readonly Frontend[],
  placement: Placement<string>,
  options: PlanOptions,
): Objects {
  const family = familyName(port.family);
  const objects: Objects = new Map();
  const chains = new Chains(family);
  const put = (set: string, key: string, value = '') => objects.set(objectKey({ family, set, key }), value);

  for (const frontend of frontends) {
    const key = frontendKey(port, frontend);
    put('frontends', key, `goto ${entryChain(chains, port, frontend, placement, options)}`);
    for (const [slot, endpoint] of placement.slots.entries())
      put(`endpoints-${port.protocol}`, concat(slotsKey(port, frontend), slot), endpoint);
    if (port.affinity !== undefined) {
      const { chain, memories } = memoryChain(chains, port, port.affinity, frontend, options);
      for (const memory of memories) for (const map of affinityMaps(memory)) put('map', map);
      for (const endpoint of placement.slots) put('affinity-members', concat(key, endpoint), `goto ${chain}`);
    }
    for (const source of frontend.sources ?? []) put('source-ranges', concat(key, block(source)));
    if (frontend.address && !frontend.external) put('cluster-ips', frontend.address);
  }
  for (const { address, nodeName } of [...port.endpoints.cluster, ...port.endpoints.local]) {
    // One without a node may be a pod of this node too.
    if (nodeName === undefined || nodeName === options.nodeName) put('hairpin', concat(address, address));
  }
  for (const [name, rules] of chains.all) put('chain', name, rules);
  return objects;
}

/**
 * The memories of a port's clients, see {@link affinityMaps}: of those that may be given any endpoint, and of those that a policy
 * Local binds. Who was given an endpoint of another node before, or by another frontend, must not be sent there. No name of a
 * Service or port has a dot.
 */
export function memoriesOf(id: string): { readonly free: string; readonly bound: string } {
  return { free: id, bound: `${id}.local` };
}

/** The chain that remembers a frontend's clients, each in the memory that {@link balancingChain} will look it up in. */
function memoryChain(
  chains: Chains,
  { id, protocol, internalLocal, externalLocal }: ServicePort,
  seconds: number,
  { external }: Frontend,
  { podLinks }: PlanOptions,
): { chain: string; memories: readonly string[] } {
  const { free, bound } = memoriesOf(id);
  const into = (memory: string) => chains.remember(memory, protocol, seconds);
  if (external && externalLocal) {
    return { chain: chains.rememberApart(id, into(free), into(bound), podLinks), memories: [free, bound] };
  }
  const memory = !external && internalLocal ? bound : free;
  return { chain: into(memory), memories: [memory] };
}

/** The id of the port that a memory is of. */
export function idOfMemory(memory: string): string {
  return memory.split('.')[0]!;
}

/** The id of the port whose clients a chain remembers. */
export function idOfMemoryChain(chain: string): string {
  return idOfMemory(chain.slice('remember/'.length));
}

/** The endpoint that an element of `affinity-members` lets clients be remembered with. */
export function endpointOfMember(key: string): string {
  return concat(...key.split(' . ').slice(-2));
}

/** A block as nft lists it: one address without a length. */
function block(cidr: Cidr): string {
  return prefixLength(cidr) === (familyOf(cidr) === 4 ? 32 : 128) ? networkOf(cidr) : cidr;
}

/** How the keys of a frontend's slots begin, in the map of endpoints of its protocol. */
export function slotsKey({ family }: ServicePort, { address, port }: Frontend): string {
  return concat(address ?? ANY[familyName(family)], port);
}

/** The chain that a frontend's connections go to. */
function entryChain(
  chains: Chains,
  port: ServicePort,
  frontend: Frontend,
  placement: Placement<string>,
  options: PlanOptions,
): string {
  const chain = balancingChain(chains, port, frontend, placement, options);
  return frontend.sources === undefined ? chain : chains.restricted(chain);
}

function balancingChain(
  chains: Chains,
  port: ServicePort,
  frontend: Frontend,
  { slots, local, cluster }: Placement<string>,
  { podLinks }: PlanOptions,
): string {
  const { address, external } = frontend;
  const { id, protocol, affinity } = port;
  if (slots.length === 0) return chains.reject();
  const { free, bound } = memoriesOf(id);
  const to = (range: Range, memory: string): string =>
    chains.balance({
      protocol,
      nodePort: address === undefined,
      ...range,
      sticky: affinity === undefined ? undefined : memory,
    });
  const localChain = local.count > 0 ? to(local, bound) : undefined;
  // With no endpoint meant for everybody there may still be one here.
  const clusterChain = () => to(cluster.count > 0 ? cluster : local, free);
  if (!external) return port.internalLocal ? (localChain ?? chains.drop()) : clusterChain();
  if (!port.externalLocal) return chains.masquerade(clusterChain());
  return chains.local(clusterChain(), localChain, podLinks);
}

/** Whether an endpoint may keep the flows that it has. */
export function mayKeepFlows({ endpoints: { serving } }: ServicePort): ReadonlySet<string> {
  return new Set(serving.map((endpoint: Endpoint) => target(endpoint)));
}
