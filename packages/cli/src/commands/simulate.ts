import { readFileSync } from 'node:fs';
import type { SimulationResult, SubnetSpec } from '@enid/ipam/simulation';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { upTo } from '../arguments.ts';
import { knownType } from './max-pods.ts';
import { assignments } from './plan.ts';

type Settings = Readonly<Record<string, string>>;

type Options = {
  nodes: number;
  hours: number;
  instanceType: string;
  churn: number;
  pods?: number;
  burst: number;
  trace?: string;
  set?: Settings[];
  subnet?: SubnetSpec[];
  seed: number;
  json?: boolean;
};

/** Sizes that AWS allows for a subnet, in bits of the prefix. */
const [LARGEST_SUBNET, SMALLEST_SUBNET] = [16, 28];
const SUBNETS: readonly SubnetSpec[] = ['a', 'b', 'c'].map((name) => ({ name, length: LARGEST_SUBNET }));

function subnet(text: string, soFar: SubnetSpec[] = []): SubnetSpec[] {
  const [, name, bits] = /^([^=]+)=(?:.*\/)?(\d+)$/.exec(text) ?? [];
  const length = Number(bits);
  if (name === undefined || length < LARGEST_SUBNET || length > SMALLEST_SUBNET)
    throw new InvalidArgumentError(
      `It takes the form NAME=/BITS, from a=/${LARGEST_SUBNET} to a=/${SMALLEST_SUBNET}.`,
    );
  if (soFar.some((other) => other.name === name)) throw new InvalidArgumentError(`There are two "${name}".`);
  return [...soFar, { name, length }];
}

const atLeastZero = (most: number) => (text: string) => {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= most))
    throw new InvalidArgumentError(`It takes a number from 0 to ${most}.`);
  return value;
};

export default function command(program: Command): void {
  program
    .command('simulate')
    .description('a cluster in virtual time: what settings waste, ask of EC2, and make pods wait')
    .requiredOption('--nodes <n>', 'how many nodes', upTo(20_000))
    .option('--hours <h>', 'for how long', upTo(8760), 24)
    .option('--instance-type <type>', 'EC2 instance type of the nodes', 'm5.large')
    .option('--churn <changes>', 'pods that come and go, together, per node and hour', atLeastZero(10_000), 5)
    .option(
      '--pods <n>',
      'pods per node on average (default: half of what the node takes, 15 at most)',
      upTo(5000),
    )
    .option('--burst <n>', 'pods that come to a node at one time', upTo(1000), 1)
    .addOption(
      new Option('--trace <file>', 'pods from a file instead: lines seconds,node,add|delete,pod').conflicts([
        'churn',
        'pods',
        'burst',
      ]),
    )
    .option(
      '--set <name=value,...>',
      "a scenario: variables of the agent's environment; repeat it to compare",
      (text: string, soFar: Settings[] = []) => [...soFar, text === 'defaults' ? {} : assignments(text)],
    )
    .option('--subnet <name=/bits>', 'a subnet; nodes stand in several by turns (default: three /16)', subnet)
    .option('--seed <n>', 'another seed draws other pods', atLeastZero(2 ** 31), 1)
    .option('--json', 'as JSON: an array, one object for each scenario')
    .addHelpText(
      'after',
      `
Every node keeps its addresses by the agent's own decisions. EC2's token buckets are those that AWS documents, an ENI takes
2 to 6 seconds, a call 0.3, and a released address rests for IP_COOLDOWN_PERIOD. Nodes are there, with their pools at
rest, from the start. All scenarios have the same pods; the same seed gives the same figures. docs/planning.md says how to
read them.

  enid simulate --nodes 1000 --churn 5
  enid simulate --nodes 200 --burst 10 --set defaults --set WARM_IP_TARGET=2,MINIMUM_IP_TARGET=12
  enid simulate --nodes 50 --subnet a=/24 --subnet b=/24 --set ENABLE_PREFIX_DELEGATION=true
  enid simulate --nodes 3 --hours 1 --trace pods.csv`,
    )
    .action(async (options: Options) => {
      const { poolSettings } = await import('@enid/ipam');
      const { nodeShape } = await import('@enid/ipam/planner');
      const { churnWorkload, readTrace, simulate } = await import('@enid/ipam/simulation');
      const { instanceType, nodes, hours, seed } = options;
      const spec = await knownType(instanceType);
      const scenarios = (options.set ?? [{}]).map((set) => {
        const settings = poolSettings(set);
        return { set, settings, shape: nodeShape(instanceType, spec, settings) };
      });
      const podLimit = Math.min(...scenarios.map(({ shape }) => shape.podLimit));
      const podsPerNode = options.pods ?? Math.min(Math.ceil(podLimit / 2), 15);
      if (!options.trace && Math.max(podsPerNode, options.burst) > podLimit)
        throw new Error(
          `a ${instanceType} takes ${podLimit} pods with these settings: lower --pods or --burst`,
        );
      const workload = options.trace
        ? readTrace(readText(options.trace), nodes)
        : churnWorkload({
            nodes,
            hours,
            changesPerNodeHour: options.churn,
            podsPerNode,
            burst: options.burst,
            podLimit,
            seed,
          });
      const subnets = options.subnet ?? SUBNETS;
      const results: (SimulationResult & { readonly settings: Settings })[] = [];
      for (const { set, settings } of scenarios) {
        const began = performance.now();
        const scenario = { instanceType, spec, settings, subnets, nodes, hours, workload, seed };
        results.push({ settings: set, ...simulate(scenario) });
        if (!options.json)
          console.error(`${label(set)}: simulated in ${((performance.now() - began) / 1000).toFixed(1)} s`);
      }
      console.log(options.json ? JSON.stringify(results) : await described(results, nodes));
    });
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(`the trace cannot be read: ${(error as Error).message}`);
  }
}

const label = (set: Settings): string =>
  Object.entries(set)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ') || 'defaults';

/** Figures down, scenarios across. */
async function described(
  results: readonly (SimulationResult & { readonly settings: Settings })[],
  nodes: number,
): Promise<string> {
  const { table } = await import('../table.ts');
  type Row = [name: string, cell: (result: SimulationResult) => string | number];
  const names = (of: 'calls' | 'throttles') => [
    ...new Set(results.flatMap((result) => Object.keys(result[of].byName))),
  ];
  const rows: Row[] = [
    ['pods that came', ({ pods }) => pods.added],
    ['  that waited for an address', ({ pods }) => pods.waited],
    ['  that wait at the end', ({ pods }) => pods.waiting],
    ['wait p50, seconds', ({ startDelaySeconds }) => startDelaySeconds.p50],
    ['wait p99, seconds', ({ startDelaySeconds }) => startDelaySeconds.p99],
    ['longest wait, seconds', ({ startDelaySeconds }) => startDelaySeconds.max],
    ['idle addresses per node, mean', ({ wasted }) => wasted.mean],
    ['idle addresses per node, p99', ({ wasted }) => wasted.p99],
    ['idle addresses of the cluster, mean', ({ wasted }) => Math.round(wasted.mean * nodes)],
    ['EC2 calls', ({ calls }) => calls.total],
    ...names('calls').map((name): Row => [`  ${name}`, ({ calls }) => calls.byName[name] ?? 0]),
    ['throttled calls', ({ throttles }) => throttles.total],
    ...names('throttles').map((name): Row => [`  ${name}`, ({ throttles }) => throttles.byName[name] ?? 0]),
    ...results[0]!.subnets.flatMap(({ name, addresses }, index): Row[] => [
      [`subnet ${name}: least free of ${addresses}`, ({ subnets }) => subnets[index]!.leastFree],
      [
        `subnet ${name}: runs dry`,
        ({ subnets }) => {
          const { dryAtHours } = subnets[index]!;
          return dryAtHours === null ? 'never' : `after ${dryAtHours} h`;
        },
      ],
    ]),
  ];
  return table([
    ['', ...results.map(({ settings }) => label(settings))],
    ...rows.map(([name, cell]) => [name, ...results.map(cell)]),
  ]);
}
