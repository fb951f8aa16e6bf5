import type { Command } from 'commander';
import { host, requireRoot } from '../host.ts';

export default function demo(program: Command): void {
  program
    .command('demo')
    .description('build a VPC with two nodes and show on the wire how pods live in it')
    .option('--json', 'print the checks as JSON and nothing else on stdout')
    .option('--keep', 'leave the lab running afterwards, under the name "demo"')
    .action(async (options: { json?: boolean; keep?: boolean }) => {
      requireRoot('enid demo');
      const { runDemo } = await import('@enid/lab/demo');
      const ok = await runDemo(host, { json: options.json === true, keep: options.keep === true });
      process.exitCode = ok ? 0 : 1;
    });
}
