import assert from 'node:assert/strict';
import type { PodAddResult } from '../bench/pod-add.ts';
import { run, tracesOf } from './enid.ts';
import { labOnly } from './given.ts';

const { test } = labOnly('no cluster: plugins are run and timed side by side on this machine');

test("pods are wired and unwired in a fraction of the reference plugins' time", async () => {
  const { status, stdout, stderr } = await run('bench', 'pod-add', '--json');
  assert.equal(status, 0, stderr);
  const { ratio } = JSON.parse(stdout) as PodAddResult;
  assert.ok(ratio.add_p50 <= 0.4, stdout);
  assert.ok(ratio.del_p50 <= 0.3, stdout);
  assert.ok(ratio.burst50 <= 1 / 3, stdout);
  assert.deepEqual(tracesOf('bench'), []);
});
