import type { Topology } from '../lab/topology.ts';

/** The file in a lab's directory that makes it one: written when the lab is up, and the first to go. */
export const LAB_RECORD = 'lab.json';

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

/** What a lab remembers of a node. */
export type NodeRecord = {
  /** `node-1`, `node-2`, ... */
  readonly name: string;
  readonly instanceId: string;
  /** As Kubernetes names the node: `ip-10-0-1-5.ec2.internal`. */
  readonly dnsName: string;
  /** Primary address of the primary ENI. */
  readonly address: string;
  readonly subnet: string;
  readonly availabilityZone: string;
  readonly instanceType: string;
  /** Name of its network namespace. */
  readonly namespace: string;
  /** Environment of its agent, beyond what every agent of the lab gets. */
  readonly env: Readonly<Record<string, string>>;
};

/** How a lab calls Enid and finds what is built. */
export type Host = {
  /** The `enid` command as an argument vector. */
  readonly enid: readonly [string, ...string[]];
  /** Folders with CNI executables: ours, then Debian's. */
  readonly cniBin: readonly string[];
  /** Where this checkout of Enid stands. */
  readonly root: string;
};
