/** The keys of a cluster: its certificate authority, and the key that signs tokens of service accounts. */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CertificateAuthority } from '@enid/pki';

export { CertificateAuthority, type Credential } from '@enid/pki';

export type Pki = {
  readonly authority: CertificateAuthority;
  /** P-256, private: signs the tokens of service accounts (ES256). */
  readonly serviceAccountKey: KeyObject;
};

/** The keys in a directory (0700, files 0600), made when there are none. */
export async function openPki(directory: string): Promise<Pki> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const authorityFile = join(directory, 'ca.pem');
  const tokenKeyFile = join(directory, 'sa.key');
  if (!existsSync(authorityFile)) {
    const { credential } = await CertificateAuthority.create('kubernetes');
    write(authorityFile, credential.certificate + credential.key);
    // Who reads the certificate alone need not see the key.
    write(join(directory, 'ca.crt'), credential.certificate);
  }
  if (!existsSync(tokenKeyFile)) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    write(tokenKeyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  }
  const both = readFileSync(authorityFile, 'utf8');
  const keyAt = both.indexOf('-----BEGIN PRIVATE KEY');
  return {
    authority: await CertificateAuthority.load({ certificate: both.slice(0, keyAt), key: both.slice(keyAt) }),
    serviceAccountKey: createPrivateKey(readFileSync(tokenKeyFile)),
  };
}

/** Writes a file whole or not at all: a key is never half there. */
function write(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
