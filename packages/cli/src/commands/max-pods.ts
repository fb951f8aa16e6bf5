import type { InstanceSpec } from '@enid/ipam';
import { type Command, InvalidArgumentError } from 'commander';
import { upTo } from '../arguments.ts';

type Options = {
  instanceType: string[];
  prefixDelegation?: boolean;
  customNetworking?: boolean;
  maxEni?: number;
  multiNic?: boolean;
  fromEc2?: boolean;
  json?: boolean;
};

/** Reads instance types: an option that may be repeated, or be a list with commas. */
export function instanceTypes(text: string, soFar: string[] = []): string[] {
  const types = text.split(',').map((type) => type.trim());
  if (types.includes('')) throw new InvalidArgumentError('It takes a type such as m5.large.');
  return [...soFar, ...types];
}

/** @throws naming types that are near, and how to ask EC2. */
export async function knownType(type: string): Promise<InstanceSpec> {
  const [{ instanceLimits }, { similarTypes }] = await Promise.all([
    import('@enid/ipam'),
    import('@enid/ipam/planner'),
  ]);
  const spec = instanceLimits(type);
  if (spec) return spec;
  const near = similarTypes(type);
  const meant = near.length > 0 ? ` Near it are ${near.join(', ')}.` : '';
  throw new Error(
    `the instance type "${type}" is not in the table.${meant} For one that is newer, ask EC2: enid max-pods --from-ec2`,
  );
}

export default function command(program: Command): void {
  program
    .command('max-pods')
    .description('how many pods a node of an instance type takes: ENIs x (addresses per ENI - 1) + 2')
    .requiredOption('--instance-type <type>', 'EC2 instance type; may be repeated', instanceTypes)
    .option(
      '--prefix-delegation',
      'a /28 in place of each address; 110 pods at most below 30 vCPUs, else 250',
    )
    .option('--custom-networking', 'pods in other subnets (ENIConfig): the primary ENI carries none')
    .option('--max-eni <n>', 'cap on the ENIs of a node, as MAX_ENI sets it', upTo(1000))
    .option(
      '--multi-nic',
      'the ENIs of every network card, as with ENABLE_MULTI_NIC, not those of card 0 alone',
    )
    .option(
      '--from-ec2',
      "ask EC2's DescribeInstanceTypes instead of the built-in table (AWS_REGION, credentials)",
    )
    .option('--json', 'as JSON: one object, or an array for several types')
    .addHelpText(
      'after',
      `
On types with several network cards only the ENIs of card 0 count, since the agent attaches to no other; --multi-nic is
for nodes of Amazon's. The 2 are pods on the host's network, the agent and the service proxy, as in the figures that
Amazon publishes.

  enid max-pods --instance-type m5.large --prefix-delegation
  enid max-pods --instance-type t3.medium,m5.large,trn1.32xlarge`,
    )
    .action(async (options: Options) => {
      const { maxPods } = await import('@enid/ipam');
      const specs = options.fromEc2
        ? await (await import('../ec2-instance-types.ts')).describeInstanceTypes(options.instanceType)
        : await Promise.all(options.instanceType.map(knownType));
      const rows = options.instanceType.map((instanceType, index) => {
        const spec = specs[index]!;
        try {
          const { ipv4PerEni } = spec;
          const enis = options.multiNic ? spec.allEnis : spec.enis;
          return { spec, row: { instanceType, enis, ipv4PerEni, maxPods: maxPods(spec, options) } };
        } catch (error) {
          throw new Error((error as Error).message.replace('this type', instanceType));
        }
      });
      if (options.json) {
        const found = rows.map(({ row }) => row);
        console.log(JSON.stringify(found.length === 1 ? found[0] : found));
        return;
      }
      const { table } = await import('../table.ts');
      console.log(
        table([
          ['INSTANCE TYPE', 'ENIS', 'IPV4 PER ENI', 'CARDS', 'VCPUS', 'MEMORY', 'HYPERVISOR', 'MAX PODS'],
          ...rows.map(({ row, spec }) => [
            row.instanceType,
            row.enis,
            row.ipv4PerEni,
            spec.networkCards,
            spec.vcpus,
            `${spec.memoryMib / 1024} GiB`,
            spec.hypervisor,
            row.maxPods,
          ]),
        ]),
      );
    });
}
