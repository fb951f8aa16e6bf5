/** TLS on listeners: certificates, security policies, and what is negotiated by ALPN. */
import type { Certificate } from '@aws-sdk/client-elastic-load-balancing-v2';
import type { Draft } from 'immer';
import { AwsError } from '../errors.ts';
import type { Context } from '../operation.ts';
import type { CloudState } from '../state.ts';
import { invalid } from './operation.ts';
import { DEFAULT_SSL_POLICY, SSL_POLICIES } from './ssl-policies.ts';
import type { Listener, ListenerProtocol } from './state.ts';

const ALPN_POLICIES = ['HTTP1Only', 'HTTP2Only', 'HTTP2Optional', 'HTTP2Preferred', 'None'] as const;

export const isSecure = (protocol: ListenerProtocol) => protocol === 'HTTPS' || protocol === 'TLS';

/** @throws {AwsError} CertificateNotFound, UnsupportedCertificate for one that is not issued yet. */
export function checkCertificate(state: CloudState, arn: string): string {
  const certificate = state.certificates[arn];
  if (!certificate) throw new AwsError('CertificateNotFound', `Certificate '${arn}' not found`);
  if (certificate.status === 'ISSUED') return arn;
  throw new AwsError(
    'UnsupportedCertificate',
    `The certificate '${arn}' must have a fully-qualified domain name, a supported signature, and a supported key size. It is ${certificate.status}.`,
  );
}

/** What secure listeners have beyond others. */
export type Security = Pick<Listener, 'sslPolicy' | 'certificates' | 'alpnPolicy'>;

type SecureInput = {
  readonly Certificates?: readonly Certificate[] | undefined;
  readonly SslPolicy?: string | undefined;
  readonly AlpnPolicy?: readonly string[] | undefined;
};

/** What a secure listener has beyond others. `before`: what it had, which stays where the request says nothing. */
export function readSecurity(
  { state }: Context,
  protocol: ListenerProtocol,
  input: SecureInput,
  before: Security | undefined,
): Pick<Draft<Listener>, 'sslPolicy' | 'certificates' | 'alpnPolicy'> {
  const { Certificates, SslPolicy, AlpnPolicy } = input;
  if (!isSecure(protocol)) {
    if (Certificates?.length)
      throw invalid(`Certificates are not of listeners with the protocol '${protocol}'`);
    if (SslPolicy) throw invalid(`SSL policies are not of listeners with the protocol '${protocol}'`);
    if (AlpnPolicy?.length)
      throw invalid(`ALPN policies are not of listeners with the protocol '${protocol}'`);
    return { certificates: [] };
  }
  if ((Certificates?.length ?? 0) > 1) {
    throw new AwsError(
      'TooManyCertificates',
      'Up to 1 certificate can be the default: add others to the listener',
    );
  }
  const [first] = Certificates ?? [];
  const certificate = first?.CertificateArn ?? before?.certificates[0];
  if (!certificate) throw invalid(`A certificate must be specified for ${protocol} listeners`);
  const sslPolicy = SslPolicy ?? before?.sslPolicy ?? DEFAULT_SSL_POLICY;
  if (!SSL_POLICIES.has(sslPolicy))
    throw new AwsError('SSLPolicyNotFound', `SSL policy '${sslPolicy}' not found`);
  const others = (before?.certificates.slice(1) ?? []).filter((arn) => arn !== certificate);
  return {
    sslPolicy,
    certificates: [checkCertificate(state, certificate), ...others],
    ...(protocol === 'TLS' && readAlpn(AlpnPolicy, before?.alpnPolicy)),
  };
}

function readAlpn(
  policies: readonly string[] | undefined,
  before: string | undefined,
): { alpnPolicy?: string } {
  const [policy = before, ...more] = policies ?? [];
  if (more.length > 0) throw invalid('A listener has one ALPN policy');
  if (policy === undefined) return {};
  if (ALPN_POLICIES.some((known) => known === policy)) return { alpnPolicy: policy };
  throw new AwsError(
    'ALPNPolicyNotFound',
    `ALPN policy '${policy}' must be one of '${ALPN_POLICIES.join(', ')}'`,
  );
}
