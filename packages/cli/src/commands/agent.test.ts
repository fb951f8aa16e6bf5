/** `enid agent --print-config` as it is called; what it says of each variable is tried beside `describeConfig`. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../main.ts', import.meta.url));

/** @param env all that the agent is told. */
function printConfig(env: NodeJS.ProcessEnv, ...options: string[]) {
  return spawnSync(process.execPath, [main, 'agent', '--print-config', ...options], {
    env,
    encoding: 'utf8',
  });
}

test('every variable is printed with its value and where that came from', () => {
  const { status, stdout, stderr } = printConfig({ WARM_IP_TARGET: '3' });
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, /^VARIABLE +VALUE +FROM\n/);
  assert.match(stdout, /^WARM_IP_TARGET +3 +environment$/m);
  assert.match(stdout, /^WARM_ENI_TARGET +1 +ignored: WARM_IP_TARGET is set$/m);
  assert.match(stdout, /^IP_COOLDOWN_PERIOD +30 +default$/m);
});

test('a value that would stop the start is named, and the exit code tells', () => {
  const env = { WARM_IP_TARGET: 'many' };
  const { status, stdout, stderr } = printConfig(env);
  assert.equal(status, 1);
  assert.match(stdout, /^WARM_IP_TARGET +many +invalid$/m);
  assert.match(stderr, /^enid: WARM_IP_TARGET .*"many"/);
  const asJson = printConfig(env, '--json');
  assert.deepEqual([asJson.status, asJson.stderr], [1, '']);
  const { settings, problems } = JSON.parse(asJson.stdout);
  assert.equal(problems.length, 1);
  assert.match(problems[0], /^WARM_IP_TARGET .*"many"/);
  const { from, value } = settings.find(({ name }: { name: string }) => name === 'WARM_IP_TARGET');
  assert.deepEqual([from, value], ['invalid', 'many']);
});
