/** Where an API server is, and who a client is to it. */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';

export type ApiAccess = {
  /** `https://10.0.1.4:443`, perhaps with a path. */
  readonly server: string;
  /** The authority of the server's certificate, PEM; those of the system when absent. */
  readonly authority?: string | undefined;
  /** The client's certificate and key, PEM. */
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  /** The client's bearer token, asked for at every request: tokens in files are renewed. */
  readonly token?: (() => string) | undefined;
};

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The access of a pod by its service account.
 * @throws {Error} outside of a pod.
 */
export function inClusterAccess(env: NodeJS.ProcessEnv = process.env, folder = SERVICE_ACCOUNT): ApiAccess {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (!host)
    throw new Error('KUBERNETES_SERVICE_HOST is not set: this is no pod, name a kubeconfig by KUBECONFIG');
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    authority: readFileSync(`${folder}/ca.crt`, 'utf8'),
    token: () => readFileSync(`${folder}/token`, 'utf8').trim(),
  };
}

type Named<K extends string, T> = { name: string } & { [key in K]: T };
type Config = {
  'current-context'?: string;
  contexts?: Named<'context', { cluster: string; user: string }>[];
  clusters?: Named<
    'cluster',
    { server: string; 'certificate-authority'?: string; 'certificate-authority-data'?: string }
  >[];
  users?: Named<
    'user',
    {
      'client-certificate'?: string;
      'client-certificate-data'?: string;
      'client-key'?: string;
      'client-key-data'?: string;
      token?: string;
      tokenFile?: string;
    }
  >[];
};

/**
 * The access of a kubeconfig's current context (`client.config` v1). Plugins that fetch credentials are not run.
 * @throws {Error} when the file cannot be read, or the context names no cluster or user.
 */
export function kubeconfigAccess(file: string): ApiAccess {
  const config = (parse(textOf(file)) ?? {}) as Config;
  const name = config['current-context'];
  const context = config.contexts?.find((each) => each.name === name)?.context;
  const cluster = config.clusters?.find((each) => each.name === context?.cluster)?.cluster;
  const user = config.users?.find((each) => each.name === context?.user)?.user;
  if (!cluster || !user)
    throw new Error(`${file}: the context "${name}" names no cluster and user: set current-context`);
  const read = (path: string) => readFileSync(resolve(dirname(file), path), 'utf8');
  const pem = (data: string | undefined, path: string | undefined) =>
    data ? Buffer.from(data, 'base64').toString() : path && read(path);
  const { token, tokenFile } = user;
  return {
    server: cluster.server,
    authority: pem(cluster['certificate-authority-data'], cluster['certificate-authority']),
    certificate: pem(user['client-certificate-data'], user['client-certificate']),
    key: pem(user['client-key-data'], user['client-key']),
    token: tokenFile ? () => read(tokenFile).trim() : token ? () => token : undefined,
  };
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Error(
      `the kubeconfig cannot be read (${(error as Error).message}): name another by KUBECONFIG`,
    );
  }
}
