import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { CertificateAuthority } from './authority.ts';

test('certificates are those of the authority, also of one that was read again', async () => {
  const { authority, credential } = await CertificateAuthority.create('a cluster');
  const again = await CertificateAuthority.load(credential);
  const ca = new X509Certificate(credential.certificate);
  assert.ok(ca.ca);

  const { certificate } = await again.issueServer(['kubernetes', '10.100.0.1']);
  const server = new X509Certificate(certificate);
  assert.ok(server.verify(ca.publicKey));
  assert.equal(server.checkHost('kubernetes'), 'kubernetes');
  assert.equal(server.checkIP('10.100.0.1'), '10.100.0.1');
  assert.equal(server.ca, false);

  const client = new X509Certificate((await authority.issueClient('alice', ['dev', 'ops'])).certificate);
  assert.ok(client.verify(ca.publicKey));
  assert.deepEqual(client.subject.split('\n'), ['O=dev', 'O=ops', 'CN=alice']);
});
