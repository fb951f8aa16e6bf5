import assert from 'node:assert/strict';
import { machineNetwork, run, start, tracesOf } from './enid.ts';
import { labOnly } from './given.ts';

const { test } = labOnly('no cluster: the demo makes one of its own, and takes it away');

test('the demo holds all of its checks in under a minute and leaves the machine as it was', async () => {
  const before = machineNetwork();
  const started = performance.now();
  const { status, stdout, stderr } = await run('demo', '--json');
  const seconds = (performance.now() - started) / 1000;

  const report = JSON.parse(stdout) as {
    ok: boolean;
    checks: { name: string; ok: boolean; detail: string }[];
  };
  assert.deepEqual(
    report.checks.filter((check) => !check.ok).map((check) => `${check.name}\n${check.detail}`),
    [],
  );
  assert.equal(report.checks.length, 6, stderr);
  assert.equal(report.ok, true);
  assert.equal(status, 0);
  assert.ok(seconds < 60, `it took ${seconds} s`);
  assert.deepEqual(tracesOf('demo'), []);
  assert.equal(machineNetwork(), before);
});

test('a second demo at a time is refused, and Ctrl-C in the middle leaves nothing', async () => {
  const before = machineNetwork();
  const { child, result } = start('demo');
  await new Promise<void>((resolve, reject) => {
    child.stdout!.on('data', (text: string) => {
      if (text.includes('starting containerd')) resolve();
    });
    result.then(({ stderr }) => reject(new Error(`the demo ended before: ${stderr}`)), reject);
  });
  const second = await run('demo');
  assert.equal(second.status, 1);
  assert.match(second.stderr, /another process works on lab "demo"/);
  child.kill('SIGINT');
  assert.equal((await result).status, 130);
  assert.deepEqual(tracesOf('demo'), []);
  assert.equal(machineNetwork(), before);
});
