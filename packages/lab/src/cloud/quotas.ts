/** Limits of the account, with AWS's defaults. Those of an instance type are with the type. */
export const DEFAULT_QUOTAS = {
  vpcs: 5,
  cidrBlocksPerVpc: 5,
  subnetsPerVpc: 200,
  routesPerTable: 50,
  elasticIps: 5,
  securityGroups: 2500,
  rulesPerSecurityGroup: 60,
  securityGroupsPerInterface: 5,
  networkInterfaces: 5000,
  tagsPerResource: 50,
  applicationLoadBalancers: 50,
  networkLoadBalancers: 50,
  listenersPerLoadBalancer: 50,
  /** Of all listeners together, without their default rules. */
  rulesPerLoadBalancer: 100,
  certificatesPerLoadBalancer: 25,
  targetGroups: 3000,
  targetGroupsPerLoadBalancer: 100,
  /** Of Application Load Balancers; the next is of Network Load Balancers. */
  targetGroupsPerAction: 5,
  targetGroupsPerFlowAction: 1,
  targetsPerTargetGroup: 1000,
  conditionValuesPerRule: 5,
  conditionWildcardsPerRule: 6,
  certificates: 2500,
};

/** See {@link DEFAULT_QUOTAS}. */
export type Quotas = typeof DEFAULT_QUOTAS;
