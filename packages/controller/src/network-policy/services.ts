import type { PodFacts, ServiceFacts, ServicePort } from './facts.ts';
import type { Endpoint, EndpointPort } from './objects.ts';
import type { Rule } from './policy.ts';
import { allowsPort } from './ports.ts';
import type { World } from './world.ts';

/**
 * The ClusterIPs by which a rule's peers are reached: a packet is judged before a Service's address becomes a pod's. A port
 * of a Service is allowed when the rule allows every pod that it may lead to, as no rule shall be got around by a Service;
 * it is denied when the rule denies one of them.
 * @param peers undefined: everybody.
 * @param consulted is told of the Services whose pods mattered.
 */
export function* serviceEndpoints(
  world: World,
  rule: Rule,
  index: number,
  peers: ReadonlySet<PodFacts> | undefined,
  consulted: Set<string>,
): Generator<Endpoint> {
  // Everybody on every port is everybody's Services as well.
  if (!peers && !rule.ports) return;
  for (const service of peers ? servicesOfAll(world, peers) : world.services.values()) {
    const candidates = service.ports.filter((port) => peers || isOpenQuestion(rule, port));
    if (candidates.length === 0) continue;
    consulted.add(service.key);
    const backends = [...world.backends(service)];
    const ports = candidates.filter((port) => isAllowed(rule, port, backends, peers));
    if (ports.length === 0) continue;
    const all = ports.map(({ protocol, port }): EndpointPort => ({ protocol, port }));
    for (const cidr of service.addresses) {
      yield { cidr, ports: all, rule: index, ...(rule.action && { action: rule.action }) };
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

function isAllowed(
  rule: Rule,
  { protocol, target }: ServicePort,
  backends: readonly PodFacts[],
  peers: ReadonlySet<PodFacts> | undefined,
): boolean {
  const verdicts = backends.flatMap((pod) => {
    const numbers =
      typeof target === 'number'
        ? [target]
        : pod.ports.filter((p) => p.name === target && p.protocol === protocol).map(({ port }) => port);
    const isPeer = !peers || peers.has(pod);
    return numbers.map((number) => isPeer && allowsPort(rule.ports, pod, protocol, number));
  });
  if (rule.action === 'Deny') return verdicts.includes(true);
  return verdicts.length > 0 && !verdicts.includes(false);
}
