import type { Command } from 'commander';
import { requireRoot } from '../host.ts';

export default function agent(program: Command): void {
  program
    .command('agent')
    .description('run the node daemon: ENIs, addresses, CNI and the node network; configured by environment')
    .action(async () => {
      requireRoot('enid agent');
      const { runAgent } = await import('@enid/agent');
      await runAgent(process.env);
    });
}
