import assert from 'node:assert/strict';
import type { PolicyResult } from '../bench/policy.ts';
import { run } from './enid.ts';
import { labOnly } from './given.ts';

const { test } = labOnly('no cluster: traffic with policies and without is measured on this machine');

test('policies cost traffic little, however many rules they have, and are in force at once', async (t) => {
  const { status, stdout, stderr } = await run('bench', 'policy', '--rounds', '9', '--json');
  assert.equal(status, 0, stderr);
  t.diagnostic(stdout);
  const { ratio, nftables, enforce_ms } = JSON.parse(stdout) as PolicyResult;
  // Roomy, as the machine may be busy with other tests; docs/policies.md has the figures of an idle one.
  assert.ok(ratio.stream > 0.9 && ratio.rr > 0.93 && ratio.crr > 0.85, stdout);
  assert.ok(ratio.rules100k > 0.9, stdout);
  assert.ok(nftables.rules100k < 0.1, stdout);
  assert.ok(enforce_ms.p99 < 150, stdout);
});
