import './reflect.ts';
import { KeyObject, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';

/** A certificate and its private key, both PEM. */
export type Credential = { readonly certificate: string; readonly key: string };

const KEY = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const;
const DAY = 24 * 60 * 60 * 1000;
/** Clocks differ: what is issued now is good already to one that is late. */
const SKEW = 5 * 60 * 1000;
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

x509.cryptoProvider.set(webcrypto);

/** A certificate authority (RFC 5280) with a P-256 key. */
export class CertificateAuthority {
  /** Its own certificate, PEM. */
  readonly certificate: string;
  readonly #subject: string;
  readonly #key: webcrypto.CryptoKey;

  private constructor(certificate: x509.X509Certificate, key: webcrypto.CryptoKey) {
    this.certificate = `${certificate.toString('pem')}\n`;
    this.#subject = certificate.subject;
    this.#key = key;
  }

  /** A new authority, valid for ten years. */
  static async create(
    commonName: string,
  ): Promise<{ authority: CertificateAuthority; credential: Credential }> {
    const keys = await webcrypto.subtle.generateKey(KEY, true, ['sign', 'verify']);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: subject({ commonName, organizations: [] }),
      keys,
      signingAlgorithm: SIGNATURE,
      ...validity(3650),
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.digitalSignature,
          true,
        ),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    const authority = new CertificateAuthority(certificate, keys.privateKey);
    return { authority, credential: { certificate: authority.certificate, key: pem(keys.privateKey) } };
  }

  /** An authority that was made before. @throws when that is no certificate or no P-256 key. */
  static async load({ certificate, key }: Credential): Promise<CertificateAuthority> {
    const der = x509.PemConverter.decodeFirst(key);
    const privateKey = await webcrypto.subtle.importKey('pkcs8', der, KEY, false, ['sign']);
    return new CertificateAuthority(new x509.X509Certificate(certificate), privateKey);
  }

  /** A certificate for a server. @param hosts its DNS names and IP addresses; the first is its common name. */
  issueServer(hosts: readonly [string, ...string[]], days = 365): Promise<Credential> {
    const names = hosts.map((value) => ({ type: isIP(value) ? ('ip' as const) : ('dns' as const), value }));
    return this.#issue({ commonName: hosts[0], organizations: [] }, days, [
      new x509.ExtendedKeyUsageExtension([SERVER_AUTH]),
      new x509.SubjectAlternativeNameExtension(names),
    ]);
  }

  /** A certificate for a client of the Kubernetes API: the common name is its user, the organizations are its groups. */
  issueClient(user: string, groups: readonly string[] = [], days = 365): Promise<Credential> {
    return this.#issue({ commonName: user, organizations: groups }, days, [
      new x509.ExtendedKeyUsageExtension([CLIENT_AUTH]),
    ]);
  }

  async #issue(name: Subject, days: number, extensions: x509.Extension[]): Promise<Credential> {
    const keys = await webcrypto.subtle.generateKey(KEY, true, ['sign', 'verify']);
    const certificate = await x509.X509CertificateGenerator.create({
      subject: subject(name),
      issuer: this.#subject,
      publicKey: keys.publicKey,
      signingKey: this.#key,
      signingAlgorithm: SIGNATURE,
      ...validity(days),
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        ...extensions,
      ],
    });
    return { certificate: `${certificate.toString('pem')}\n`, key: pem(keys.privateKey) };
  }
}

type Subject = { commonName: string; organizations: readonly string[] };

function subject({ commonName, organizations }: Subject): x509.JsonName {
  return [...organizations.map((O) => ({ O: [O] })), { CN: [commonName] }];
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - SKEW), notAfter: new Date(now + days * DAY) };
}

function pem(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString();
}
