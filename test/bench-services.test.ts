import assert from 'node:assert/strict';
import type { ServicesResult } from '../bench/services.ts';
import { run } from './enid.ts';
import { labOnly } from './given.ts';

const { test } = labOnly('no cluster: a proxy is started and timed on this machine');

test('10,000 Services start in seconds, change in milliseconds, and cost a connection nothing', async () => {
  const { status, stdout, stderr } = await run('bench', 'services', '--json');
  assert.equal(status, 0, stderr);
  const { start_s, restart_s, endpoint_ms, idle_ms, connect_ratio } = JSON.parse(stdout) as ServicesResult;
  assert.ok(start_s < 10 && restart_s < 10, stdout);
  // On a machine that is busy otherwise, 1 in 100 runs of any program takes longer.
  assert.ok(endpoint_ms.p99 < Math.max(100, 5 * idle_ms.p99), stdout);
  assert.ok(connect_ratio < 1.05, stdout);
});
