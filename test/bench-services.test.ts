import assert from 'node:assert/strict';
import type { ServicesResult } from '../bench/services.ts';
import { run } from './enid.ts';
import { labOnly } from './given.ts';

const { test } = labOnly('no cluster: the service module is started and timed on this machine');

/** What a run of nft that changes nothing takes at most where nobody else has the machine, in milliseconds. */
const QUIET = { p50: 8, p99: 20 };

test('10,000 Services start in seconds, change in milliseconds, and cost a connection nothing', async (t) => {
  const { status, stdout, stderr } = await run('bench', 'services', '--json');
  assert.equal(status, 0, stderr);
  const { start_s, restart_s, idle_ms, connect_ratio, ...changes } = JSON.parse(stdout) as ServicesResult;
  // Where others have the machine, all takes as many times longer.
  const slower = Math.max(1, idle_ms.p50 / QUIET.p50, idle_ms.p99 / QUIET.p99);
  if (slower > 1)
    t.diagnostic(`others have the machine, which is ${slower.toFixed(1)} times slower: ${stdout}`);
  for (const seconds of [start_s, restart_s]) assert.ok(seconds < 10 * slower, stdout);
  for (const { p99 } of [changes.endpoint_ms, changes.endpoint_sticky_ms])
    assert.ok(p99 < 100 * slower, stdout);
  for (const ratio of Object.values(connect_ratio)) assert.ok(ratio < 1.05, stdout);
});
