/**
 * A cluster in virtual time: every node keeps its pool by the agent's own decisions, all of them draw from the same
 * subnets and from the same account's EC2 API. What a setting wastes, asks of EC2, and makes pods wait can be
 * compared before a node has it.
 */
import type { InstanceSpec } from '../instance-limits.ts';
import { freshPool, keyOf, type NodeShape, nodeShape, settle, settlePod } from '../planner/index.ts';
import { allocationOf } from '../pool.ts';
import type { PoolSettings } from '../settings.ts';
import { Ec2Api } from './ec2-api.ts';
import { SimulatedNode, type World } from './node.ts';
import { Random } from './random.ts';
import { quantileOf, TimeWeighted } from './statistics.ts';
import { Subnet } from './subnet.ts';
import { VirtualTime } from './virtual-time.ts';
import type { Workload } from './workload.ts';

export type SubnetSpec = {
  readonly name: string;
  /** Bits of the prefix: 22 of a /22, which has 1019 addresses to give. */
  readonly length: number;
};

export type Scenario = {
  readonly instanceType: string;
  readonly spec: InstanceSpec;
  readonly settings: PoolSettings;
  /** Nodes stand in them by turns. With custom networking they are those of the pods. */
  readonly subnets: readonly SubnetSpec[];
  readonly nodes: number;
  readonly hours: number;
  readonly workload: Workload;
  readonly seed: number;
};

export type SubnetResult = {
  readonly name: string;
  readonly addresses: number;
  readonly leastFree: number;
  readonly freeAtEnd: number;
  /** When a request was first refused for want of addresses or blocks, in hours; null when none was. */
  readonly dryAtHours: number | null;
};

export type SimulationResult = {
  readonly pods: {
    /** That came. */
    readonly added: number;
    /** That did not get an address at once. */
    readonly waited: number;
    /** That wait at the end. */
    readonly waiting: number;
  };
  /** From a pod's coming until it has an address, leaves, or the end has come. */
  readonly startDelaySeconds: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Addresses of a node that no pod has, over time. */
  readonly wasted: { readonly mean: number; readonly p99: number };
  readonly calls: { readonly total: number; readonly byName: Readonly<Record<string, number>> };
  readonly throttles: { readonly total: number; readonly byName: Readonly<Record<string, number>> };
  readonly subnets: readonly SubnetResult[];
};

/** Told what happens to addresses, for who wants to check it. */
export type SimulationObserver = {
  readonly assigned?: (address: string, pod: number, at: number) => void;
  readonly released?: (address: string, pod: number, at: number) => void;
};

/** No nodes can be where their subnet has no addresses for their primary ENIs. */
export class ScenarioError extends Error {
  override readonly name = 'ScenarioError';
}

const HOUR = 3_600_000;
/** When the nodes came, before the start: long enough for pools to come to rest. */
const LONG_AGO = -1000 * HOUR;
/** How far apart subnets lie among the numbers of addresses. */
const SUBNET_APART = 2 ** 20;
const FIRST_SUBNET = 10 * 2 ** 24;

/**
 * Runs a scenario. The same scenario gives the same result.
 * @throws {ScenarioError} when the subnets cannot hold the nodes.
 */
export function simulate(scenario: Scenario, observer: SimulationObserver = {}): SimulationResult {
  const { hours, workload, seed } = scenario;
  const shape = nodeShape(scenario.instanceType, scenario.spec, scenario.settings);
  const random = new Random(seed, 'cluster');
  const time = new VirtualTime();
  const api = new Ec2Api(time, random);
  const wasted = new TimeWeighted();
  const delays: number[] = [];
  let added = 0;
  const world: World = {
    time,
    api,
    random,
    onAssign: (pod, address, waited) => {
      delays.push(waited);
      observer.assigned?.(address, pod, time.now);
    },
    onGiveUp: (waited) => delays.push(waited),
    onRelease: (pod, address) => observer.released?.(address, pod, time.now),
    onIdle: (addresses, milliseconds) => wasted.add(addresses, milliseconds),
  };
  const subnets = scenario.subnets.map(
    ({ name, length }, index) => new Subnet(name, FIRST_SUBNET + index * SUBNET_APART, length, random),
  );
  const nodes = startNodes(scenario, shape, subnets, world);
  delays.length = 0; // Those of the pods that ran from the start.

  // One event at a time, so that the queue stays short.
  let next = 0;
  const comeAndGo = (): void => {
    for (; next < workload.events.length && workload.events[next]!.at <= time.now; next++) {
      const { node, pod, kind } = workload.events[next]!;
      if (kind === 'delete') nodes[node]!.remove(pod);
      else {
        added++;
        nodes[node]!.add(pod);
      }
    }
    if (next < workload.events.length) time.at(workload.events[next]!.at, comeAndGo);
  };
  comeAndGo();
  time.runUntil(hours * HOUR);

  let waiting = 0;
  for (const node of nodes) {
    waiting += node.waiting;
    node.end();
  }
  delays.sort((a, b) => a - b);
  const seconds = (part: number) => round(quantileOf(delays, part) / 1000, 3);
  return {
    pods: { added, waited: delays.filter((delay) => delay > 0).length, waiting },
    startDelaySeconds: { p50: seconds(0.5), p99: seconds(0.99), max: seconds(1) },
    wasted: { mean: round(wasted.mean(), 2), p99: wasted.quantile(0.99) },
    calls: counted(api.requests),
    throttles: counted(api.throttles),
    subnets: subnets.map(({ name, size, free, leastFree, dryAt }) => ({
      name,
      addresses: size,
      leastFree,
      freeAtEnd: free,
      dryAtHours: dryAt === undefined ? null : round(dryAt / HOUR, 3),
    })),
  };
}

/** Nodes that have been there for long: their pools are at rest, and their pods have addresses as far as there are any. */
function startNodes(scenario: Scenario, shape: NodeShape, subnets: Subnet[], world: World): SimulatedNode[] {
  const { nodes, workload, settings } = scenario;
  const pools = Array.from({ length: nodes }, (_, number) => {
    const subnet = subnets[number % subnets.length]!;
    const id = `eni-${number}.0`;
    if (!settings.customNetworking && !subnet.takeEni(id, settings.mode, 0)) {
      throw new ScenarioError(
        `subnet ${subnet.name} has ${subnet.size} addresses, too few for the nodes in it: make it larger, or add another`,
      );
    }
    return { subnet, pool: freshPool(shape, id) };
  });
  return pools.map(({ subnet, pool }, number) => {
    const pods = [...workload.initial[number]!];
    let rest = settle({ pool, now: LONG_AGO, calls: 0 }, shape, subnet);
    while (pods.length > 0) {
      const key = keyOf(pods[0]!);
      const next = settlePod(rest, key, shape, subnet);
      if (!next) break; // The others wait.
      rest = next;
      world.onAssign(pods.shift()!, allocationOf(rest.pool, key)!.address, 0);
    }
    const node = new SimulatedNode(number, world, shape, subnet, rest.pool);
    for (const pod of pods) node.add(pod);
    return node;
  });
}

function counted(byName: Record<string, number>): {
  total: number;
  byName: Record<string, number>;
} {
  const sorted = Object.entries(byName).sort(([a], [b]) => (a < b ? -1 : 1));
  return { total: sorted.reduce((sum, [, count]) => sum + count, 0), byName: Object.fromEntries(sorted) };
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits));
