import type { Command } from 'commander';
import { host, requireRoot } from '../host.ts';

export default function demo(program: Command): void {
  program
    .command('demo')
    .description('build a VPC with two nodes and show on the wire how pods live in it')
    .option('--services', 'show load balancers instead: which client address arrives at a pod, on which way')
    .option('--json', 'print the checks as JSON and nothing else on stdout')
    .option('--keep', 'leave the lab running afterwards, under the name "demo"')
    .action(async (options: { services?: boolean; json?: boolean; keep?: boolean }) => {
      requireRoot('enid demo');
      const { runDemo } = await import('@enid/lab/demo');
      const { services = false, json = false, keep = false } = options;
      const ok = await runDemo(host, { services, json, keep });
      process.exitCode = ok ? 0 : 1;
    });
}
