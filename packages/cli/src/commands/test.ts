import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import type { Command } from 'commander';
import { compileCache, requireRoot, root } from '../host.ts';

export default function test(program: Command): void {
  program
    .command('test')
    .description(
      'run the tests: pure ones, kernel ones in namespaces of their own, then whole systems on the lab',
    )
    .argument('[files...]', 'run these only; part of a path is enough')
    .option('--only <pattern>', 'run the tests whose names match')
    .action(async (files: string[], options: { only?: string }) => {
      requireRoot('enid test');
      const wanted = (path: string) => files.length === 0 || files.some((part) => path.includes(part));
      // Whole-system tests come last and one at a time: they time what they do. By their names, benchmarks are the first of them, while
      // nothing else has left the kernel work behind.
      const stages = [
        { paths: globSync('packages/*/src/**/*.test.ts', { cwd: root }), concurrency: 2 },
        { paths: globSync('test/**/*.test.ts', { cwd: root }), concurrency: 1 },
      ].map((stage) => ({ ...stage, paths: stage.paths.filter(wanted).sort() }));
      if (stages.every(({ paths }) => paths.length === 0))
        throw new Error(`no test file matches ${files.join(' ')}`);
      const { TestRun } = await import('../test-run.ts');
      const run = new TestRun();
      const env = { ...process.env, ...run.environment, NODE_COMPILE_CACHE: compileCache };
      let child: ChildProcess | undefined;
      let isInterrupted = false;
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
        process.on(signal, () => {
          isInterrupted = true;
          child?.kill(signal);
        });
      for (const { paths, concurrency } of stages) {
        if (paths.length === 0) continue;
        child = spawn(
          process.execPath,
          [
            '--test',
            '--import=./test/seed.ts',
            `--test-concurrency=${concurrency}`,
            '--test-reporter=spec',
            ...(options.only ? [`--test-name-pattern=${options.only}`] : []),
            ...paths,
          ],
          { cwd: root, stdio: 'inherit', env },
        );
        const [status] = await once(child, 'exit');
        if (isInterrupted) {
          console.error('enid: interrupted: taking away what the tests have made');
          await run.takeAway();
          process.exit(130);
        }
        if (status !== 0) {
          process.exitCode = status ?? 1;
          break;
        }
      }
      run.end();
    });
}
