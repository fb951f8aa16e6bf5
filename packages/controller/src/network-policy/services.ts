import { contains, parseIp } from '@enid/ip';
import type { PodFacts, ServiceFacts, ServicePort } from './facts.ts';
import type { Endpoint, EndpointPort } from './objects.ts';
import type { BlockPeer, Rule } from './policy.ts';
import { allowsPort } from './ports.ts';
import type { World } from './world.ts';

/** Whom a rule of egress reaches. */
export type Reach = {
  readonly rule: Rule;
  readonly index: number;
  /** Pods by their labels; undefined: everybody. */
  readonly pods: ReadonlySet<PodFacts> | undefined;
  readonly blocks: readonly BlockPeer[];
};

/**
 * The ClusterIPs by which peers are reached: a packet is judged before a Service's address becomes a pod's. A port of a
 * Service is allowed when every pod that it may lead to is, by whichever of the rules, as no rule shall be got around by a
 * Service; it is denied when a rule denies one of them.
 * @param reaches of rules of which it is enough that one allows something: all of a NetworkPolicy, but one of a
 *   ClusterNetworkPolicy, whose rules have an order.
 * @param consulted is told of the Services whose pods mattered.
 */
export function* serviceEndpoints(
  world: World,
  reaches: readonly Reach[],
  consulted: Set<string>,
): Generator<Endpoint> {
  // Everybody on every port is everybody's Services as well.
  if (reaches.some(({ rule, pods }) => !pods && !rule.ports)) return;
  const named = servicesOfAll(world, new Set(reaches.flatMap(({ pods = [] }) => [...pods])));
  const toEverybody = reaches.filter(({ pods }) => !pods);
  for (const service of toEverybody.length > 0 ? world.services.values() : named) {
    const candidates = service.ports.filter(
      (port) => named.has(service) || toEverybody.some(({ rule }) => isOpenQuestion(rule, port)),
    );
    if (candidates.length === 0) continue;
    consulted.add(service.key);
    const backends = [...world.backends(service)];
    const ports = Map.groupBy(candidates, (port) => reachFor(reaches, port, backends));
    for (const [reach, these] of ports) {
      if (!reach) continue;
      const { rule, index } = reach;
      const all = these.map(({ protocol, port }): EndpointPort => ({ protocol, port }));
      for (const cidr of service.addresses) {
        yield { cidr, ports: all, rule: index, ...(rule.action && { action: rule.action }) };
      }
    }
  }
}

function servicesOfAll(world: World, pods: Iterable<PodFacts>): Set<ServiceFacts> {
  const services = new Set<ServiceFacts>();
  for (const pod of pods) for (const service of world.servicesOf(pod)) services.add(service);
  return services;
}

/** Whether a rule that names ports, but no peers, could hold a Service's port, and does not do so by its number. */
function isOpenQuestion({ ports = [] }: Rule, { protocol, port, target }: ServicePort): boolean {
  const has = (number: number) =>
    ports.some((rule) => {
      if ('name' in rule) return false;
      const { port: from, endPort: to = from } = rule;
      return rule.protocol === protocol && (from === undefined || (number >= from && number <= to!));
    });
  if (has(port)) return false;
  return typeof target === 'string' || has(target) || ports.some((rule) => 'name' in rule);
}

/** The rule by which a Service's port is open, or denied; undefined: by none. */
function reachFor(
  reaches: readonly Reach[],
  { protocol, target }: ServicePort,
  backends: readonly PodFacts[],
): Reach | undefined {
  const targets = backends.flatMap((pod) => {
    const numbers =
      typeof target === 'number'
        ? [target]
        : pod.ports.filter((p) => p.name === target && p.protocol === protocol).map(({ port }) => port);
    return numbers.map((number) => ({ pod, number }));
  });
  const holds = ({ rule, pods, blocks }: Reach, { pod, number }: (typeof targets)[number]) =>
    (!pods || pods.has(pod) || blocks.some((block) => isWithin(block, pod))) &&
    allowsPort(rule.ports, pod, protocol, number);
  const denying = reaches.find(({ rule }) => rule.action === 'Deny');
  if (denying) return targets.some((each) => holds(denying, each)) ? denying : undefined;
  const isOpen = targets.every((each) => reaches.some((reach) => holds(reach, each)));
  return isOpen ? reaches.find((reach) => targets.some((each) => holds(reach, each))) : undefined;
}

const isWithin = ({ cidr, except }: BlockPeer, { addresses }: PodFacts) =>
  addresses.map(parseIp).every((ip) => contains(cidr, ip) && !except.some((hole) => contains(hole, ip)));
