import { enableCompileCache } from 'node:module';
import { constants } from 'node:os';
import { Command } from 'commander';
import { compileCache } from './host.ts';

enableCompileCache(compileCache);

// Who reads no more (`| head`, a terminal that is gone) ends the command as SIGTERM does, so that it can clean up.
let isRead = true;
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (!['EPIPE', 'ECONNRESET', 'EIO'].includes(error.code ?? '')) throw error;
    const isFirst = isRead;
    isRead = false;
    if (isFirst && !process.emit('SIGTERM', 'SIGTERM')) process.exit(128 + constants.signals.SIGPIPE);
  });

/**
 * The `enid` command. Each command's module is loaded when it runs, so that starting costs what the command needs
 * and no more.
 */
const program = new Command('enid')
  .description('The Amazon VPC CNI system, and a VPC on one Linux machine to run it in')
  .version('0.1.0')
  .showHelpAfterError('(enid --help lists the commands)');

for (const load of [
  () => import('./commands/demo.ts'),
  () => import('./commands/lab.ts'),
  () => import('./commands/bench.ts'),
  () => import('./commands/agent.ts'),
  () => import('./commands/controller.ts'),
  () => import('./commands/ips.ts'),
  () => import('./commands/max-pods.ts'),
  () => import('./commands/plan.ts'),
  () => import('./commands/simulate.ts'),
  () => import('./commands/lb.ts'),
  () => import('./commands/policy.ts'),
  () => import('./commands/ebpf.ts'),
  () => import('./commands/test.ts'),
]) {
  (await load()).default(program);
}

try {
  await program.parseAsync();
} catch (error) {
  // The message is for people; the stack is for who asks for it.
  console.error(`enid: ${process.env.ENID_DEBUG ? (error as Error).stack : (error as Error).message}`);
  process.exitCode = 1;
}
