import type { NodeRecord } from './node.ts';
import type { Topology } from './topology.ts';

/** What is kept of a lab. */
export type LabRecord = {
  readonly ec2Endpoint: string;
  readonly region: string;
  readonly topology: Topology;
  readonly nodes: readonly NodeRecord[];
  /** Whether it is a cluster. */
  readonly kubernetes: boolean;
  /** Environment of the agents. */
  readonly env: Readonly<Record<string, string>>;
};
