import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openPki } from './index.ts';

test("a cluster's keys are made once, and are for their owner alone", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'enid-pki-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const first = await openPki(directory);
  const again = await openPki(directory);
  assert.equal(again.authority.certificate, first.authority.certificate);
  assert.ok(again.serviceAccountKey.equals(first.serviceAccountKey));
  assert.equal(statSync(join(directory, 'ca.pem')).mode & 0o777, 0o600);
});
