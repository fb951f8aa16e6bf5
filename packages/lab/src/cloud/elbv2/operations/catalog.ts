/** What ELBv2 offers, whoever asks: its limits and its security policies. */
import { AwsError } from '../../errors.ts';
import type { Quotas } from '../../quotas.ts';
import { type Operations, page } from '../operation.ts';
import { SSL_POLICIES } from '../ssl-policies.ts';

const limitsOf = (quotas: Quotas): Readonly<Record<string, number>> => ({
  'application-load-balancers': quotas.applicationLoadBalancers,
  'network-load-balancers': quotas.networkLoadBalancers,
  'target-groups': quotas.targetGroups,
  'listeners-per-application-load-balancer': quotas.listenersPerLoadBalancer,
  'listeners-per-network-load-balancer': quotas.listenersPerLoadBalancer,
  'rules-per-application-load-balancer': quotas.rulesPerLoadBalancer,
  'certificates-per-application-load-balancer': quotas.certificatesPerLoadBalancer,
  'certificates-per-network-load-balancer': quotas.certificatesPerLoadBalancer,
  'target-groups-per-application-load-balancer': quotas.targetGroupsPerLoadBalancer,
  'target-groups-per-action-on-application-load-balancer': quotas.targetGroupsPerAction,
  'target-groups-per-action-on-network-load-balancer': quotas.targetGroupsPerFlowAction,
  'targets-per-application-load-balancer': quotas.targetsPerTargetGroup,
  'targets-per-network-load-balancer': quotas.targetsPerTargetGroup,
  'condition-values-per-alb-rule': quotas.conditionValuesPerRule,
  'condition-wildcards-per-alb-rule': quotas.conditionWildcardsPerRule,
});

export const operations: Operations = {
  DescribeAccountLimits(input, { quotas }) {
    const { items, next } = page(Object.entries(limitsOf(quotas)), ([name]) => name, input);
    return { Limits: items.map(([Name, max]) => ({ Name, Max: String(max) })), ...next };
  },

  DescribeSSLPolicies(input) {
    const unknown = input.Names?.find((name) => !SSL_POLICIES.has(name));
    if (unknown !== undefined) throw new AwsError('SSLPolicyNotFound', `SSL policy '${unknown}' not found`);
    const policies = [...SSL_POLICIES].filter(([name]) => !input.Names?.length || input.Names.includes(name));
    const { items, next } = page(policies, ([name]) => name, input);
    return {
      SslPolicies: items.map(([Name, { protocols, ciphers }]) => ({
        Name,
        SslProtocols: [...protocols],
        Ciphers: ciphers.map((cipher, index) => ({ Name: cipher, Priority: index + 1 })),
        SupportedLoadBalancerTypes: ['application', 'network'],
      })),
      ...next,
    };
  },
};
