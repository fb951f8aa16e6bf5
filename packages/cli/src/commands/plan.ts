import { type Command, InvalidArgumentError } from 'commander';
import { knownType } from './max-pods.ts';

/** Reads `NAME=value`, several with commas between. */
export function assignments(text: string): Record<string, string> {
  return Object.fromEntries(
    text.split(',').map((part) => {
      const match = /^\s*([A-Za-z_][A-Za-z0-9_]*)=(.*?)\s*$/.exec(part);
      if (!match)
        throw new InvalidArgumentError('It takes the form NAME=VALUE, several with commas between.');
      return [match[1]!, match[2]!];
    }),
  );
}

const podCounts = (text: string): number[] =>
  text.split(',').map((part) => {
    const count = Number(part);
    if (!/^\s*\d+\s*$/.test(part) || count > 5000)
      throw new InvalidArgumentError('It takes numbers of pods from 0 to 5000, such as 0,5,9.');
    return count;
  });

type Options = { instanceType: string; pods: number[]; set?: Record<string, string>; json?: boolean };

export default function command(program: Command): void {
  program
    .command('plan')
    .description(
      "what a node's address pool comes to at rest: ENIs, addresses or prefixes, unused ones, EC2 calls",
    )
    .requiredOption('--instance-type <type>', 'EC2 instance type of the node')
    .requiredOption('--pods <counts>', 'pods on the node, several counts with commas: 0,5,9', podCounts)
    .option(
      '--set <name=value>',
      "a variable of the agent's environment, such as WARM_IP_TARGET=2; may be repeated",
      (text: string, soFar: Record<string, string> = {}) => ({ ...soFar, ...assignments(text) }),
    )
    .option('--json', 'as JSON: [{"pods", "enis", "perEni", "attached", "unused", "ec2Calls"}]')
    .addHelpText(
      'after',
      `
The agent's own decisions are carried out, without EC2, until nothing is left to do. Each count starts from a new node that
gets its pods one after another. ATTACHED and PER ENI count addresses, with prefix delegation prefixes; UNUSED counts
addresses. Pods on the host's network are not among the pods.

  enid plan --instance-type t3.small --pods 0,5,9
  enid plan --instance-type m5.large --pods 10,20 --set WARM_IP_TARGET=2 --set MINIMUM_IP_TARGET=12
  enid plan --instance-type m5.large --pods 10,100 --set ENABLE_PREFIX_DELEGATION=true`,
    )
    .action(async (options: Options) => {
      const { poolSettings } = await import('@enid/ipam');
      const { planToRest } = await import('@enid/ipam/planner');
      const settings = poolSettings(options.set ?? {});
      const spec = await knownType(options.instanceType);
      const rows = options.pods.map((pods) => planToRest(options.instanceType, spec, settings, pods));
      if (options.json) {
        console.log(JSON.stringify(rows));
        return;
      }
      const { table } = await import('../table.ts');
      console.log(
        table([
          [
            'PODS',
            'ENIS',
            settings.mode === 'prefix' ? 'PREFIXES' : 'ATTACHED',
            'UNUSED',
            'EC2 CALLS',
            'PER ENI',
          ],
          ...rows.map(({ pods, enis, attached, unused, ec2Calls, perEni }) => [
            pods,
            enis,
            attached,
            unused,
            ec2Calls,
            perEni.join(','),
          ]),
        ]),
      );
    });
}
