import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { openPki, type Pki } from '../pki/index.ts';
import { type ApiServer, type ApiServerOptions, startApiServer } from './index.ts';

export type TestApiServer = {
  readonly kubeConfig: KubeConfig;
  readonly url: string;
  readonly pki: Pki;
  /** Ends the process's part of it and starts it again with what it has kept. */
  restart(): Promise<void>;
  stop(): Promise<void>;
};

/** A server on loopback with an administrator's client configuration. */
export async function startTestApiServer(options: Partial<ApiServerOptions> = {}): Promise<TestApiServer> {
  const directory = mkdtempSync(join(tmpdir(), 'enid-apiserver-'));
  const pki = await openPki(join(directory, 'pki'));
  let port = 0;
  const start = async (): Promise<ApiServer> => {
    const server = await startApiServer({
      directory: join(directory, 'state'),
      pki,
      names: ['127.0.0.1', 'localhost'],
      listen: [{ host: '127.0.0.1', port }],
      ...options,
    });
    port = server.addresses[0]!.port;
    return server;
  };
  let server = await start();
  const url = `https://127.0.0.1:${port}`;
  const { certificate, key } = await pki.authority.issueClient('admin', ['system:masters']);
  const kubeConfig = new KubeConfig();
  kubeConfig.loadFromOptions({
    clusters: [
      { name: 'test', server: url, caData: base64(pki.authority.certificate), skipTLSVerify: false },
    ],
    users: [{ name: 'admin', certData: base64(certificate), keyData: base64(key) }],
    contexts: [{ name: 'test', cluster: 'test', user: 'admin' }],
    currentContext: 'test',
  });
  return {
    kubeConfig,
    url,
    pki,
    async restart() {
      await server.close();
      server = await start();
    },
    async stop() {
      await server.close();
      rmSync(directory, { recursive: true });
    },
  };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
