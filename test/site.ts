/** Where tests of load balancers take place: a cluster with a namespace for them, and one who asks from outside of it. */
import type { CREDENTIALS } from '../packages/lab/src/lab/credentials.ts';
import { GIVEN } from './given.ts';
import { givenSite } from './given-site.ts';
import { labSite } from './lab-site.ts';
import type { Stations } from './stations.ts';

export interface Site extends AsyncDisposable {
  readonly stations: Stations;
  readonly namespace: string;
  /** What AWS clients are made with that are to see the cluster's account. */
  readonly aws: { endpoint?: string; region?: string; credentials?: typeof CREDENTIALS };
  /** The address of who asks, as load balancers of this scheme see it. */
  readonly address: string;
  readonly scheme: 'internet-facing' | 'internal';
  /** How long load balancers may take to serve, in milliseconds: they come at once in the lab, and within minutes in AWS. */
  readonly patience: number;
  /** Runs a command to its end where who asks is. @returns what it prints. */
  run(...command: [string, ...string[]]): Promise<string>;
  /** What the controller tells Prometheus, where it can be asked. */
  readonly metrics?: () => Promise<string>;
}

/** The given cluster, or else a lab. @param up makes the lab. Both are left without a trace in the end. */
export async function openSite(namespace: string, lab: string, up: () => Promise<unknown>): Promise<Site> {
  if (GIVEN) return await givenSite(GIVEN, namespace);
  await up();
  return await labSite(lab, namespace);
}
