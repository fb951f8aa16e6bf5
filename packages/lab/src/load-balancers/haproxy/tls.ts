/** How listeners that are secure speak TLS, and targets are spoken to. */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { ServingListener, ServingTargetGroup } from '../../cloud/elbv2/serving.ts';
import { word } from './syntax.ts';

/** Files by path: what is in a file of a name is always the same. */
export type Files = ReadonlyMap<string, string>;

const TLS13 = /^TLS_/;
const OLD = ['TLSv1', 'TLSv1.1'];
/** As HAProxy calls the versions. */
const versionOf = (protocol: string): string => (protocol === 'TLSv1' ? 'TLSv1.0' : protocol);

/**
 * The arguments of a `bind` line: the listener's certificates, of which the first is the default one, and its security policy.
 * @param directory where the files are to be. @param alpn in order of preference.
 */
export function tlsOf(
  { certificates, sslPolicy }: ServingListener,
  directory: string,
  alpn: readonly string[],
): { readonly options: string; readonly files: Files } {
  const name = (content: string, suffix: string) =>
    join(directory, `${createHash('sha256').update(content).digest('hex').slice(0, 32)}.${suffix}`);
  const files = new Map<string, string>();
  for (const { certificate, chain = '', privateKey } of certificates) {
    const content = `${[certificate, chain, privateKey].map((pem) => pem.trim()).join('\n')}\n`;
    files.set(name(content, 'pem'), content);
  }
  const list = [...files.keys()].map((path) => `${path}\n`).join('');
  const listFile = name(list, 'list');
  files.set(listFile, list);
  const { protocols, ciphers } = sslPolicy!;
  const [newer, older] = [true, false].map((is) => ciphers.filter((cipher) => TLS13.test(cipher) === is));
  // OpenSSL does without the hashes of the old versions unless it is told not to.
  const level = protocols.some((protocol) => OLD.includes(protocol)) ? ['@SECLEVEL=0'] : [];
  const named = (what: string, suites: readonly string[]) =>
    suites.length > 0 ? [`${what} ${word(suites.join(':'))}`] : [];
  const options = [
    `ssl crt-list ${word(listFile)}`,
    `ssl-min-ver ${versionOf(protocols.at(0)!)} ssl-max-ver ${versionOf(protocols.at(-1)!)}`,
    ...named('ciphers', older!.length > 0 ? [...older!, ...level] : []),
    ...named('ciphersuites', newer!),
    ...(alpn.length > 0 ? [`alpn ${alpn.join(',')}`] : []),
  ];
  return { options: options.join(' '), files };
}

/** The arguments of a `server` line. Certificates of targets are not looked at, as by AWS. */
export function tlsToTargets({ protocol, protocolVersion }: ServingTargetGroup): string[] {
  const isHttp2 = protocolVersion === 'HTTP2' || protocolVersion === 'GRPC';
  if (protocol === 'HTTPS') return [`ssl verify none alpn ${isHttp2 ? 'h2' : 'http/1.1'}`];
  if (protocol === 'TLS') return ['ssl verify none'];
  return isHttp2 ? ['proto h2'] : [];
}
