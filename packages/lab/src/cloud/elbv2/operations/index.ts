import type { Handler } from '../../service.ts';
import * as catalog from './catalog.ts';
import * as listeners from './listeners.ts';
import * as loadBalancers from './load-balancers.ts';
import * as rules from './rules.ts';
import * as tags from './tags.ts';
import * as targetGroups from './target-groups.ts';
import * as targets from './targets.ts';

const files = [catalog, listeners, loadBalancers, rules, tags, targetGroups, targets];

/** Every operation of ELBv2 that the lab has, by name. */
export const operations: ReadonlyMap<string, Handler> = new Map(
  files.flatMap((file) => Object.entries(file.operations) as unknown as [string, Handler][]),
);
