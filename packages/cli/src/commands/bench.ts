import type { Command } from 'commander';
import { upTo } from '../arguments.ts';
import { host, requireRoot } from '../host.ts';

/** What is being done, beside the figures. */
const say = (line: string) => console.error(line);

export default function bench(program: Command): void {
  const group = program
    .command('bench')
    .description('time Enid, side by side with others or with itself, on this machine');
  group
    .command('pod-add')
    .description("wire and unwire pods by Enid's CNI executable and by Debian's ptp with host-local")
    .option('--pods <n>', 'how many pods each, one after another', upTo(600), 200)
    .option('--json', 'print the figures as JSON and nothing else on stdout')
    .action(async (options: { pods: number; json?: boolean }) => {
      requireRoot('enid bench');
      const { interruptible } = await import('@enid/lab');
      const { podAdd } = await import('../../../../bench/pod-add.ts');
      const result = await interruptible('bench', (stack) => podAdd(host, stack, options.pods, say));
      if (options.json) {
        console.log(JSON.stringify(result));
        return;
      }
      const { enid, ptp, ratio } = result;
      console.table({
        'ADD p50 (ms)': { enid: enid.add_ms.p50, ptp: ptp.add_ms.p50, ratio: ratio.add_p50 },
        'ADD p99 (ms)': { enid: enid.add_ms.p99, ptp: ptp.add_ms.p99 },
        'DEL p50 (ms)': { enid: enid.del_ms.p50, ptp: ptp.del_ms.p50, ratio: ratio.del_p50 },
        'DEL p99 (ms)': { enid: enid.del_ms.p99, ptp: ptp.del_ms.p99 },
        '50 ADDs at once (ms)': { enid: enid.burst50_ms, ptp: ptp.burst50_ms, ratio: ratio.burst50 },
      });
    });
  group
    .command('services')
    .description(
      'start, change and connect through the service proxy with 10,000 Services and 50,000 endpoints',
    )
    .option('--json', 'print the figures as JSON and nothing else on stdout')
    .action(async (options: { json?: boolean }) => {
      requireRoot('enid bench');
      const { interruptible } = await import('@enid/lab');
      const { services } = await import('../../../../bench/services.ts');
      const result = await interruptible(undefined, (stack) => services(stack, say));
      if (options.json) console.log(JSON.stringify(result));
      else console.table(result);
    });
  group
    .command('policy')
    .description(
      'what network policies cost traffic, beside a list of nftables, and how soon they are in force',
    )
    .option('--rounds <n>', 'how often each way is measured, ten turns of 20 ms each time', upTo(1000), 25)
    .option('--json', 'print the figures as JSON and nothing else on stdout')
    .action(async ({ rounds, ...options }: { rounds: number; json?: boolean }) => {
      requireRoot('enid bench');
      const { interruptible } = await import('@enid/lab');
      const { policy } = await import('../../../../bench/policy.ts');
      const result = await interruptible('bench', (stack) => policy(host, stack, say, rounds));
      if (options.json) {
        console.log(JSON.stringify(result));
        return;
      }
      const { ratio, nftables, enforce_ms } = result;
      console.table({ 'with policies / without': ratio, 'with a list of nftables / without': nftables });
      console.table({ 'created to enforced (ms)': enforce_ms });
    });
}
