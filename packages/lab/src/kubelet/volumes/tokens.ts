import type { Clock, KubeClient, Pod } from '@enid/kube';
import { nameOf, namespaceOf, uidOf } from '../pod.ts';

type TokenAnswer = { readonly status: { readonly token: string; readonly expirationTimestamp: string } };
export type ServiceAccountToken = { readonly token: string; readonly refreshAt: number };

const DAY = 24 * 60 * 60_000;
/** The share of a token's life after which it is renewed. */
const USED = 0.8;

/** Tokens of the service accounts of pods, bound to the pods, each asked for once in its life. */
export class Tokens {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #tokens = new Map<string, ServiceAccountToken>();

  constructor(client: KubeClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** @param audience the API server's when undefined. */
  async get(pod: Pod, audience: string | undefined, expirationSeconds: number): Promise<ServiceAccountToken> {
    const key = `${uidOf(pod)}/${audience}/${expirationSeconds}`;
    const now = this.#clock.now();
    const known = this.#tokens.get(key);
    if (known && known.refreshAt > now) return known;
    const account = pod.spec?.serviceAccountName || 'default';
    const path = `/api/v1/namespaces/${namespaceOf(pod)}/serviceaccounts/${account}/token`;
    const { status } = (await this.#client.create<object>(path, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {
        audiences: audience ? [audience] : [],
        expirationSeconds,
        boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: nameOf(pod), uid: uidOf(pod) },
      },
    })) as TokenAnswer;
    const life = Date.parse(status.expirationTimestamp) - now;
    const token = { token: status.token, refreshAt: now + Math.min(life * USED, DAY) };
    this.#tokens.set(key, token);
    return token;
  }

  release(podUid: string): void {
    for (const key of this.#tokens.keys()) if (key.startsWith(`${podUid}/`)) this.#tokens.delete(key);
  }
}
