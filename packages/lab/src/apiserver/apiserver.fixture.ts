import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { ApiAccess } from '@enid/kube';
import { KubeConfig } from '@kubernetes/client-node';
import { openPki, type Pki } from '../pki/index.ts';
import { type ApiServer, type ApiServerOptions, startApiServer } from './index.ts';

export type TestAnswer = {
  readonly code: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever a server answers.
  readonly body: any;
};

export type Sent = {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  /** An object is sent as JSON. */
  readonly body?: unknown;
  /** Instead of the administrator's. */
  readonly agent?: Agent;
};

export type TestApiServer = {
  /** As an administrator: for our own clients, and for client-node. */
  readonly access: ApiAccess;
  readonly kubeConfig: KubeConfig;
  readonly url: string;
  readonly pki: Pki;
  readonly directory: string;
  /** Connects as the administrator. */
  readonly agent: Agent;
  /** One request: `send('/api/v1/nodes')`, `send('POST /api/v1/nodes', { body })`. */
  send(what: string, sent?: Sent): Promise<TestAnswer>;
  /** The same, which must be answered with success. @returns the object. */
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  must(what: string, body?: unknown, headers?: Record<string, string>): Promise<any>;
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
  const agent = new Agent({ keepAlive: true, ca: pki.authority.certificate, cert: certificate, key });
  const send = (what: string, sent: Sent = {}) => sendTo(url, what, { agent, ...sent });
  return {
    access: { server: url, authority: pki.authority.certificate, certificate, key },
    kubeConfig,
    url,
    pki,
    directory,
    agent,
    send,
    async must(what, body, headers = {}) {
      const answer = await send(what, { body, headers });
      if (answer.code >= 300) throw new Error(`${what}: ${answer.code} ${answer.text}`);
      return answer.body;
    },
    async restart() {
      await server.close();
      server = await start();
    },
    async stop() {
      agent.destroy();
      await server.close();
      rmSync(directory, { recursive: true });
    },
  };
}

/** One request to a server. */
export function sendTo(url: string, what: string, sent: Sent): Promise<TestAnswer> {
  const [method, path] = what.includes(' ') ? what.split(' ') : ['GET', what];
  const { body, agent, headers } = sent;
  const bytes = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const sending = request(
      url + path,
      {
        method,
        ...(agent && { agent }),
        headers: {
          ...(bytes !== undefined && {
            'content-type': 'application/json',
            'content-length': String(Buffer.byteLength(bytes)),
          }),
          ...headers,
        },
      },
      async (response) => {
        try {
          const answer = await text(response);
          const { statusCode = 0, headers: answered } = response;
          const isJson = /json/.test(answered['content-type'] ?? '') && answer !== '';
          const parsed = isJson ? JSON.parse(answer) : undefined;
          resolve({ code: statusCode, headers: answered, text: answer, body: parsed });
        } catch (error) {
          reject(error);
        }
      },
    );
    sending.once('error', reject);
    sending.end(bytes);
  });
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
