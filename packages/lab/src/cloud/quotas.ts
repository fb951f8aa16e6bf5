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
};

/** See {@link DEFAULT_QUOTAS}. */
export type Quotas = typeof DEFAULT_QUOTAS;
