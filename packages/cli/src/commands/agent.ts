import { type Command, Option } from 'commander';
import { requireRoot } from '../host.ts';

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
    .action(async ({ module }: { module: 'network' | 'services' }) => {
      requireRoot('enid agent');
      const { runAgent, runServiceModule } = await import('@enid/agent');
      await (module === 'network' ? runAgent : runServiceModule)(process.env);
    });
}
