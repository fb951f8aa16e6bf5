/** Tokens of service accounts: JSON Web Tokens (RFC 7519) signed with ES256, as a TokenRequest asks for them. */
import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { isFields } from '../object.ts';
import type { Store } from '../storage/store.ts';
import type { User } from './user.ts';

export const ISSUER = 'https://kubernetes.default.svc.cluster.local';

/** An object that a token is good as long as. */
export type Bound = { readonly name: string; readonly uid: string };

export type Claims = {
  readonly iss: string;
  readonly sub: string;
  readonly aud: readonly string[];
  /** Seconds since 1970, as all times of a token. */
  readonly iat: number;
  readonly nbf: number;
  readonly exp: number;
  readonly 'kubernetes.io': {
    readonly namespace: string;
    readonly serviceaccount: Bound;
    readonly pod?: Bound;
    readonly node?: Bound;
  };
};

export class ServiceAccountTokens {
  readonly #key: KeyObject;
  readonly #public: KeyObject;

  /** @param key P-256, private. */
  constructor(key: KeyObject) {
    this.#key = key;
    this.#public = createPublicKey(key);
  }

  issue(claims: Claims): string {
    const head = `${encode({ alg: 'ES256', typ: 'JWT', kid: 'enid' })}.${encode(claims)}`;
    const signature = sign('sha256', Buffer.from(head), { key: this.#key, dsaEncoding: 'ieee-p1363' });
    return `${head}.${signature.toString('base64url')}`;
  }

  /**
   * Whose token it is.
   * @param now milliseconds since 1970.
   * @returns undefined for what is no token of ours, has expired, or is bound to what is gone.
   */
  authenticate(token: string, store: Store, now: number): User | undefined {
    const claims = this.#read(token);
    if (!claims || claims.iss !== ISSUER || !claims.aud?.includes(ISSUER)) return undefined;
    const seconds = now / 1000;
    if (seconds >= claims.exp || seconds < claims.nbf - 60) return undefined;
    const { namespace, serviceaccount, pod, node } = claims['kubernetes.io'];
    const lives = (storage: string, { name, uid }: Bound) =>
      store.get(storage, `${namespace}/${name}`)?.metadata.uid === uid;
    if (!lives('serviceaccounts', serviceaccount) || (pod && !lives('pods', pod))) return undefined;
    return {
      username: `system:serviceaccount:${namespace}:${serviceaccount.name}`,
      uid: serviceaccount.uid,
      groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`],
      extra: {
        ...(pod && {
          'authentication.kubernetes.io/pod-name': [pod.name],
          'authentication.kubernetes.io/pod-uid': [pod.uid],
        }),
        ...(node && { 'authentication.kubernetes.io/node-name': [node.name] }),
      },
    };
  }

  /** What others check tokens with (RFC 7517). */
  keySet(): object {
    return { keys: [{ use: 'sig', kid: 'enid', alg: 'ES256', ...this.#public.export({ format: 'jwk' }) }] };
  }

  #read(token: string): Claims | undefined {
    const [header, payload, signature, ...rest] = token.split('.');
    if (!header || !payload || !signature || rest.length > 0) return undefined;
    const signed = verify(
      'sha256',
      Buffer.from(`${header}.${payload}`),
      { key: this.#public, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    );
    if (!signed) return undefined;
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString());
    return isFields(claims) ? (claims as Claims) : undefined;
  }
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
