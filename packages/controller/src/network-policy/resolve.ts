import type { PodFacts } from './facts.ts';
import type { Content, Endpoint, EndpointPort, PodEndpoint } from './objects.ts';
import type { Peer, Policy, Rule } from './policy.ts';
import { mergePorts, namedPorts, numberedPorts } from './ports.ts';
import { type Reach, serviceEndpoints } from './services.ts';
import type { World } from './world.ts';

export type Resolution = {
  readonly content: Content;
  /** The Services whose ports or pods decided something. */
  readonly services: ReadonlySet<string>;
};

/** An endpoint with more ports than this becomes several, so that each fits into an object. */
const MOST_PORTS = 500;
const EVERYBODY = ['0.0.0.0/0', '::/0'];

/** What a policy means in the world as it is: which pods it selects, and which addresses they may talk with. */
export function resolve(policy: Policy, world: World): Resolution {
  const selected = [...world.select(policy.subject)];
  const services = new Set<string>();
  const ingress = new Endpoints();
  const egress = new Endpoints();
  for (const [index, rule] of policy.ingress.entries()) {
    const ports = rule.ports && ingressPorts(rule.ports, selected);
    for (const { pods, ...endpoint } of peersOf(rule, index, world)) {
      if (!pods) ingress.add(endpoint, ports);
      else
        for (const pod of pods) for (const cidr of pod.addresses) ingress.add({ ...endpoint, cidr }, ports);
    }
  }
  const reaches = [...policy.egress.entries()].map(([index, rule]): Reach => {
    const numbered = rule.ports && numberedPorts(rule.ports);
    const pods = new Set<PodFacts>();
    for (const { pods: found, ...endpoint } of peersOf(rule, index, world)) {
      if (!found) egress.add(endpoint, numbered);
      else for (const pod of found) pods.add(pod);
    }
    addPods(egress, rule, index, pods);
    if (!rule.peers) addPods(egress, namesOnly(rule), index, podsWithNames(rule, world));
    const blocks = (rule.peers ?? []).filter((peer) => 'cidr' in peer);
    return { rule, index, pods: rule.peers && pods, blocks };
  });
  // A ClusterNetworkPolicy's rules have an action, and are judged in their order: each by itself.
  const alternatives = reaches.some(({ rule }) => rule.action) ? reaches.map((reach) => [reach]) : [reaches];
  for (const together of alternatives) {
    for (const { ports, ...endpoint } of serviceEndpoints(world, together, services)) {
      egress.add(endpoint, ports);
    }
  }
  const names = policy.ingress.flatMap(({ ports = [] }) => ports).filter((port) => 'name' in port);
  const podSelectorEndpoints = selected.map((pod): PodEndpoint => {
    const { hostIP, podIP, name, namespace } = pod;
    const named = mergePorts(names.flatMap((wanted) => namedPorts(pod, wanted)));
    return { hostIP, podIP, name, namespace, ...(named.length > 0 && { namedPorts: named }) };
  });
  return { content: { podSelectorEndpoints, ingress: ingress.list(), egress: egress.list() }, services };
}

type Found = Omit<Endpoint, 'ports'> & { readonly pods?: Iterable<PodFacts> };

function* peersOf({ peers, action }: Rule, rule: number, world: World): Generator<Found> {
  const common = { rule, ...(action && { action }) };
  if (!peers) for (const cidr of EVERYBODY) yield { ...common, cidr };
  for (const peer of peers ?? []) yield { ...common, ...found(peer, world) };
}

function found(peer: Peer, world: World) {
  if ('pods' in peer) return { pods: world.select(peer) };
  if ('domainName' in peer) return peer;
  return { cidr: peer.cidr, ...(peer.except.length > 0 && { except: peer.except }) };
}

/** Named ports are those of the selected pods, each bound to the pods that have it so. */
function ingressPorts(ports: NonNullable<Rule['ports']>, selected: readonly PodFacts[]): EndpointPort[] {
  const named = ports.flatMap((wanted) =>
    'name' in wanted ? selected.flatMap((pod) => namedPorts(pod, wanted)) : [],
  );
  return mergePorts([...numberedPorts(ports), ...named]);
}

/** Named ports are those of the peer. */
function addPods(
  endpoints: Endpoints,
  { ports, action }: Rule,
  rule: number,
  pods: Iterable<PodFacts>,
): void {
  const numbered = ports && numberedPorts(ports);
  const names = ports?.filter((port) => 'name' in port) ?? [];
  for (const pod of pods) {
    const named = names.flatMap((wanted) => namedPorts(pod, wanted));
    const all =
      named.length === 0
        ? numbered
        : [...numbered!, ...named.map(({ protocol, port }) => ({ protocol, port }))];
    for (const cidr of pod.addresses) endpoints.add({ cidr, rule, ...(action && { action }) }, all);
  }
}

const namesOnly = (rule: Rule): Rule => ({
  ...rule,
  ports: (rule.ports ?? []).filter((port) => 'name' in port),
});

function podsWithNames({ ports = [] }: Rule, world: World): Set<PodFacts> {
  return new Set(ports.flatMap((port) => ('name' in port ? [...world.withPort(port.name)] : [])));
}

/** Gathers endpoints; the same peer of the same rule is one, with the ports of all. */
class Endpoints {
  readonly #found = new Map<
    string,
    { readonly peer: Omit<Endpoint, 'ports'>; ports: readonly EndpointPort[] | undefined }
  >();

  /** @param ports undefined: all; none: nothing is added. */
  add(peer: Omit<Endpoint, 'ports'>, ports: readonly EndpointPort[] | undefined): void {
    if (ports?.length === 0) return;
    const key = `${peer.rule} ${peer.cidr ?? peer.domainName} ${peer.except?.join() ?? ''}`;
    const known = this.#found.get(key);
    if (!known) this.#found.set(key, { peer, ports });
    else if (known.ports !== ports) known.ports = known.ports && ports && [...known.ports, ...ports];
  }

  list(): Endpoint[] {
    const merged = new Map<readonly EndpointPort[], EndpointPort[]>();
    return [...this.#found.values()].flatMap(({ peer, ports }): Endpoint[] => {
      if (!ports) return [peer];
      const all = merged.get(ports) ?? mergePorts(ports);
      merged.set(ports, all);
      if (all.length <= MOST_PORTS) return [{ ...peer, ports: all }];
      const parts = Array.from({ length: Math.ceil(all.length / MOST_PORTS) }, (_, i) => i * MOST_PORTS);
      return parts.map((from) => ({ ...peer, ports: all.slice(from, from + MOST_PORTS) }));
    });
  }
}
