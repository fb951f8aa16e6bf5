import type { Resource } from '../resource.ts';
import type { Strategy } from '../strategy.ts';
import { definitions } from './definitions.ts';
import { ingresses } from './ingresses.ts';
import { jobs } from './jobs.ts';
import { namespaces } from './namespaces.ts';
import { nodes } from './nodes.ts';
import { pods } from './pods.ts';
import { secrets } from './secrets.ts';
import { services } from './services.ts';

/** By storage. */
const STRATEGIES: Record<string, Strategy> = {
  pods,
  nodes,
  namespaces,
  services,
  secrets,
  'jobs.batch': jobs,
  'ingresses.networking.k8s.io': ingresses,
  'customresourcedefinitions.apiextensions.k8s.io': definitions,
};

const NONE: Strategy = {};

/** What is particular to a resource. */
export function strategyOf(resource: Resource): Strategy {
  return STRATEGIES[resource.storage] ?? NONE;
}
