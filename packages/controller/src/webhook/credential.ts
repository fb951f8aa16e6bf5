import { type ApiError, isAlreadyExists, isNotFound, type KubeClient, type Secret } from '@enid/kube';
import { CertificateAuthority, type Credential } from '@enid/pki';

/** Made once and for good: whoever replaces it deletes the Secret and restarts the controller. */
const DAYS = 3650;

/** What a webhook's server shows, and the authority by which the API server knows it; PEM. */
export type WebhookCredential = Credential & { readonly authority: string };

/**
 * The certificate that all replicas of the controller share, from a Secret of type `kubernetes.io/tls`, which is made when there
 * is none. The authority's key is thrown away: it signs nothing else.
 * @param hosts by which the API server asks.
 * @throws {ApiError}, and Error for a Secret that holds something else.
 */
export async function webhookCredential(
  client: KubeClient,
  namespace: string,
  name: string,
  hosts: readonly [string, ...string[]],
): Promise<WebhookCredential> {
  const secrets = `/api/v1/namespaces/${namespace}/secrets`;
  const read = () => client.get<Secret>(`${secrets}/${name}`);
  const found = await read().catch((error) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
  if (found) return credentialIn(found);
  const { authority } = await CertificateAuthority.create(name);
  const { certificate, key } = await authority.issueServer(hosts, DAYS);
  const stringData = { 'tls.crt': certificate, 'tls.key': key, 'ca.crt': authority.certificate };
  const made = {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: { name, namespace },
    stringData,
  };
  return credentialIn(
    await client.create<Secret>(secrets, made as Secret).catch((error: ApiError) => {
      // Another replica was faster.
      if (isAlreadyExists(error)) return read();
      throw error;
    }),
  );
}

function credentialIn({ metadata, data = {} }: Secret): WebhookCredential {
  const part = (key: string) => {
    const value = data?.[key];
    if (value) return Buffer.from(value, 'base64').toString();
    throw new Error(
      `Secret ${metadata?.namespace}/${metadata?.name} has no ${key}: delete it, and the controller makes another`,
    );
  };
  return { certificate: part('tls.crt'), key: part('tls.key'), authority: part('ca.crt') };
}
