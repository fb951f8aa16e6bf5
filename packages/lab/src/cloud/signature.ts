import { createHash } from 'node:crypto';
import { Sha256 } from '@smithy/core/checksum';
import { HttpRequest } from '@smithy/core/protocols';
import { SignatureV4 } from '@smithy/signature-v4';
import { authFailure, isEqual, type Keyring } from './credentials.ts';
import { Ec2Error } from './errors.ts';
import type { Caller } from './operation.ts';

/** An HTTP request as it was signed. */
export type SignedRequest = {
  readonly method: string;
  /** Path and query string, as in the request line. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
};

/** The service that a request is signed for, whether or not rightly so; undefined when it is not signed. */
export function serviceOf({ headers }: Pick<SignedRequest, 'headers'>): string | undefined {
  return AUTHORIZATION.exec(headers.authorization ?? '')?.[4];
}

/** How far the clock of a client may be off. */
const SKEW_MS = 5 * 60_000;

const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 Credential=([^/,]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/;

/** `20261122T220100Z` in milliseconds since 1970; NaN for anything else. */
function parseDate(text: string | undefined): number {
  const iso = text?.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z');
  return Date.parse(iso === text ? '' : (iso ?? ''));
}

/**
 * Checks the Signature Version 4 of a request, by signing it anew.
 * @returns who signed it.
 * @throws {Ec2Error} MissingAuthenticationToken for a request that is not signed, RequestExpired when its time is off,
 * AuthFailure for anything that does not fit.
 */
export async function authenticate(
  request: SignedRequest,
  {
    keyring,
    region,
    now,
    service: wanted,
  }: { keyring: Keyring; region: string; now: number; service: string },
): Promise<Caller> {
  const { headers } = request;
  if (!headers.authorization) {
    throw new Ec2Error('MissingAuthenticationToken', 'Request is missing Authentication Token');
  }
  const found = AUTHORIZATION.exec(headers.authorization);
  if (!found) throw authFailure();
  const [, accessKeyId, , scopeRegion, service, signedHeaders, signature] = found as unknown as string[];
  const { caller, credentials } = keyring.find(accessKeyId!, headers['x-amz-security-token']);
  if (scopeRegion !== region || service !== wanted) {
    throw new Ec2Error(
      'AuthFailure',
      `Credential should be scoped to ${region} and ${wanted}, not to ${scopeRegion} and ${service}.`,
    );
  }
  const time = parseDate(headers['x-amz-date']);
  if (Number.isNaN(time)) throw authFailure();
  if (Math.abs(time - now) > SKEW_MS) {
    throw new Ec2Error('RequestExpired', `Request has expired: it is of ${new Date(time).toISOString()}.`);
  }
  const bodyHash = createHash('sha256').update(request.body).digest('hex');
  if ((headers['x-amz-content-sha256'] ?? bodyHash) !== bodyHash) throw authFailure();

  const names = signedHeaders!.split(';');
  if (!names.includes('host') || !names.includes('x-amz-date')) throw authFailure();
  const url = new URL(request.url, 'http://lab');
  const signer = new SignatureV4({
    credentials: { ...credentials, ...sessionOf(headers) },
    region,
    service: wanted,
    sha256: Sha256,
    applyChecksum: false,
  });
  const signed = await signer.sign(
    new HttpRequest({
      method: request.method,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: Object.fromEntries(names.map((name) => [name, headers[name] ?? ''])),
      body: request.body,
    }),
    { signingDate: new Date(time), signableHeaders: new Set(names) },
  );
  if (!isEqual(AUTHORIZATION.exec(signed.headers.authorization!)![6]!, signature!)) throw authFailure();
  return caller;
}

const sessionOf = (headers: SignedRequest['headers']): { sessionToken?: string } => {
  const sessionToken = headers['x-amz-security-token'];
  return sessionToken === undefined ? {} : { sessionToken };
};
