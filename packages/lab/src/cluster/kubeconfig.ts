import type { Credential } from '../pki/index.ts';

/** Who a client is and which API server it means. PEM throughout. */
export type Access = Credential & { readonly server: string; readonly authority: string };

/** A kubeconfig (`client.config` v1) with one cluster, one user and one context, all of that name. JSON is YAML. */
export function kubeconfig(name: string, { server, authority, certificate, key }: Access): string {
  const base64 = (pem: string) => Buffer.from(pem).toString('base64');
  return `${JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name, cluster: { server, 'certificate-authority-data': base64(authority) } }],
      users: [
        { name, user: { 'client-certificate-data': base64(certificate), 'client-key-data': base64(key) } },
      ],
      contexts: [{ name, context: { cluster: name, user: name } }],
      'current-context': name,
    },
    null,
    2,
  )}\n`;
}
