/** What the security groups of a front end's targets must let in, and no more. */
import { contains, type Ipv4Cidr, networkOf, prefixLength } from '@enid/ip';
import type { HealthCheckSpec, NetworkingRule } from '../model/stack.ts';
import { type Frontend, transportsOf } from './frontends.ts';

type Port = NetworkingRule['ports'][number];

export type NetworkingFacts = {
  readonly healthCheck: Pick<HealthCheckSpec, 'port'>;
  /** Where the load balancer's nodes are. */
  readonly subnets: readonly Ipv4Cidr[];
  /** Where clients come from. */
  readonly clients: readonly Ipv4Cidr[];
  readonly preservesClient: boolean;
  readonly hasSecurityGroups: boolean;
};

/**
 * By the back-end group, where the load balancer is known by it, which also counts for clients whose addresses are kept.
 * Otherwise by addresses: its nodes', for health checks and what they send on as their own, and the clients'.
 */
export function networkingRules(frontend: Frontend, facts: NetworkingFacts): NetworkingRule[] {
  const { target, targetProtocol } = frontend;
  const traffic = transportsOf(targetProtocol).map((protocol): Port => ({ protocol, port: target }));
  const checked = facts.healthCheck.port === 'traffic-port' ? target : Number(facts.healthCheck.port);
  const check: Port = { protocol: 'TCP', port: checked };
  const isTraffic = traffic.some(({ protocol, port }) => protocol === 'TCP' && port === checked);
  if (facts.hasSecurityGroups) {
    return [
      { from: [{ securityGroup: { backend: true } }], ports: isTraffic ? traffic : [...traffic, check] },
    ];
  }
  const sources = facts.preservesClient ? facts.clients : facts.subnets;
  const isCovered =
    isTraffic && facts.subnets.every((subnet) => sources.some((source) => covers(source, subnet)));
  const from = (cidrs: readonly Ipv4Cidr[]) => cidrs.map((cidr) => ({ cidr }));
  return [
    { from: from(sources), ports: traffic },
    ...(isCovered ? [] : [{ from: from(facts.subnets), ports: [check] }]),
  ];
}

const covers = (wide: Ipv4Cidr, narrow: Ipv4Cidr) =>
  prefixLength(wide) <= prefixLength(narrow) && contains(wide, networkOf(narrow));
