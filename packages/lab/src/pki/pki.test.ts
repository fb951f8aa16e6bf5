import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openPki } from './index.ts';

test('certificates are those of the authority, also of one that was read again', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'enid-pki-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const first = await openPki(directory);
  const again = await openPki(directory);
  assert.equal(again.authority.certificate, first.authority.certificate);
  assert.ok(again.serviceAccountKey.equals(first.serviceAccountKey));
  assert.equal(statSync(join(directory, 'ca.pem')).mode & 0o777, 0o600);

  const ca = new X509Certificate(first.authority.certificate);
  assert.ok(ca.ca);
  const server = new X509Certificate(
    (await again.authority.issueServer(['kubernetes', '10.100.0.1'])).certificate,
  );
  assert.ok(server.verify(ca.publicKey));
  assert.equal(server.checkHost('kubernetes'), 'kubernetes');
  assert.equal(server.checkIP('10.100.0.1'), '10.100.0.1');
  assert.equal(server.ca, false);

  const client = new X509Certificate(
    (await first.authority.issueClient('alice', ['dev', 'ops'])).certificate,
  );
  assert.ok(client.verify(ca.publicKey));
  assert.deepEqual(client.subject.split('\n'), ['O=dev', 'O=ops', 'CN=alice']);
});
