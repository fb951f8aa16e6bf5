import { spawn } from 'node:child_process';
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
      for (const { paths, concurrency } of stages) {
        if (paths.length === 0) continue;
        const child = spawn(
          process.execPath,
          [
            '--test',
            '--import=./test/seed.ts',
            `--test-concurrency=${concurrency}`,
            '--test-reporter=spec',
            ...(options.only ? [`--test-name-pattern=${options.only}`] : []),
            ...paths,
          ],
          { cwd: root, stdio: 'inherit', env: { ...process.env, NODE_COMPILE_CACHE: compileCache } },
        );
        const status = await new Promise<number>((resolve) =>
          child.once('exit', (code) => resolve(code ?? 1)),
        );
        if (status !== 0) {
          process.exitCode = status;
          return;
        }
      }
    });
}
