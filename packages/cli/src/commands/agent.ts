import { type Command, Option } from 'commander';
import { requireRoot } from '../host.ts';

type Options = { module: 'network' | 'services'; printConfig?: boolean; json?: boolean };

export default function agent(program: Command): void {
  program
    .command('agent')
    .description('run the node daemon; configured by environment')
    .addOption(
      new Option(
        '--module <module>',
        'network: ENIs, addresses, CNI and the node network; services: what kube-proxy does',
      )
        .choices(['network', 'services'])
        .default('network'),
    )
    .option('--print-config', 'show every variable with its value and where that came from, and end')
    .option('--json', 'with --print-config: as JSON, {"settings", "problems"}')
    .action(async ({ module, printConfig, json }: Options) => {
      if (printConfig) return print(json === true);
      requireRoot('enid agent');
      const { runAgent, runServiceModule } = await import('@enid/agent');
      await (module === 'network' ? runAgent : runServiceModule)(process.env);
    });
}

/** Ends with 1 when the agent would not start with these variables. */
async function print(json: boolean): Promise<void> {
  const { describeAgent } = await import('@enid/agent');
  const config = await describeAgent(process.env);
  if (config.problems.length > 0) process.exitCode = 1;
  if (json) return console.log(JSON.stringify(config, null, 2));
  const { table } = await import('../table.ts');
  const rows = config.settings.map(({ name, value, from, because }) => [
    name,
    value || '-',
    because && from !== 'invalid' ? `${from}: ${because}` : from,
  ]);
  console.log(table([['VARIABLE', 'VALUE', 'FROM'], ...rows]));
  for (const problem of config.problems) console.error(`enid: ${problem}`);
}
