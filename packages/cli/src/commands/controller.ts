import type { Command } from 'commander';

export default function controller(program: Command): void {
  program
    .command('controller')
    .description("run the cluster's controller; configured by environment")
    .action(async () => {
      const { runController } = await import('@enid/controller');
      await runController(process.env);
    });
}
