import type { Handler } from '../service.ts';
import * as catalog from './catalog.ts';
import * as elasticIps from './elastic-ips.ts';
import * as instances from './instances.ts';
import * as internetGateways from './internet-gateways.ts';
import * as natGateways from './nat-gateways.ts';
import * as networkInterfaces from './network-interfaces.ts';
import * as privateIps from './private-ips.ts';
import * as routeTables from './route-tables.ts';
import * as securityGroupRules from './security-group-rules.ts';
import * as securityGroups from './security-groups.ts';
import * as subnets from './subnets.ts';
import * as tags from './tags.ts';
import * as vpcs from './vpcs.ts';

const files = [
  catalog,
  elasticIps,
  instances,
  internetGateways,
  natGateways,
  networkInterfaces,
  privateIps,
  routeTables,
  securityGroupRules,
  securityGroups,
  subnets,
  tags,
  vpcs,
];

/** Every operation that the lab has, by name. */
export const operations: ReadonlyMap<string, Handler> = new Map(
  files.flatMap((file) => Object.entries(file.operations) as unknown as [string, Handler][]),
);
