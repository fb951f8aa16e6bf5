import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock, Pod } from '@enid/kube';
import type { Logger } from 'pino';
import type { CriClient } from '../cri/client.ts';
import type { KubeletServerOptions } from '../options.ts';
import { nameOf, namespaceOf, uidOf } from '../pod.ts';
import { currentSandbox, type RuntimeContainer, readRuntimePod, runsOf } from '../runtime/state.ts';
import { sendLog } from './logs.ts';
import { execOptionsOf, HttpError, logQueryOf, type PodAddress, podAddressOf, portsOf } from './routes.ts';
import { passThrough, refuse } from './streaming.ts';

export type ServerFacts = {
  readonly cri: CriClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly pods: () => Pod[];
};

/** The kubelet's HTTPS server: logs, exec, attach and port-forward, for who has a certificate of the cluster. */
export class KubeletServer {
  readonly #facts: ServerFacts;
  readonly #server: Server;
  readonly #sockets = new Set<Duplex>();
  readonly #closing = new AbortController();

  constructor({ certificate, key, clientCa }: KubeletServerOptions, facts: ServerFacts) {
    this.#facts = facts;
    const tls = { cert: certificate, key, ca: clientCa, requestCert: true, rejectUnauthorized: true };
    this.#server = createServer(tls, (request, response) => void this.#serve(request, response));
    this.#server.on('upgrade', (request, socket, head) => void this.#upgrade(request, socket, head));
    this.#server.on('secureConnection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  /** @returns the port. */
  async listen({ host, port }: KubeletServerOptions): Promise<number> {
    this.#server.listen(port, host);
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const { pathname, searchParams } = new URL(request.url ?? '/', 'https://kubelet');
      const [verb, ...parts] = pathname.split('/').slice(1);
      if (verb === 'healthz') response.end('ok');
      else if (verb === 'pods')
        json(response, { kind: 'PodList', apiVersion: 'v1', metadata: {}, items: this.#facts.pods() });
      else if (verb === 'containerLogs') await this.#log(podAddressOf(verb, parts), searchParams, response);
      else if (verb === 'exec' || verb === 'attach' || verb === 'portForward')
        throw new HttpError(400, `/${verb} wants a connection that is upgraded to SPDY/3.1 or a websocket`);
      else throw new HttpError(404, `the kubelet serves no ${pathname}`);
    } catch (error) {
      if (response.headersSent) {
        response.destroy();
        return;
      }
      response.writeHead(error instanceof HttpError ? error.status : 500, {
        'content-type': 'text/plain; charset=utf-8',
      });
      response.end(`${(error as Error).message}\n`);
    }
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => {});
    try {
      const { pathname, searchParams } = new URL(request.url ?? '/', 'https://kubelet');
      const [verb = '', ...parts] = pathname.split('/').slice(1);
      passThrough(request, socket, head, await this.#streamOf(verb, podAddressOf(verb, parts), searchParams));
    } catch (error) {
      refuse(socket, error instanceof HttpError ? error.status : 500, (error as Error).message);
    }
  }

  /** Where the runtime takes the connection. */
  async #streamOf(verb: string, address: PodAddress, query: URLSearchParams): Promise<string> {
    const { cri } = this.#facts;
    if (verb === 'portForward') {
      const sandbox = currentSandbox(await readRuntimePod(cri, uidOf(this.#pod(address))));
      if (!sandbox?.ready) throw new HttpError(400, `pod ${address.pod} is not running`);
      return cri.portForward(sandbox.id, portsOf(query));
    }
    const { id, state } = await this.#run(address, false);
    if (state !== 'running')
      throw new HttpError(400, `container ${address.container} of pod ${address.pod} is not running`);
    const options = execOptionsOf(query);
    if (verb === 'attach') return cri.attach(id, options);
    if (verb === 'exec') return cri.exec(id, query.getAll('command'), options);
    throw new HttpError(404, `the kubelet serves no /${verb}`);
  }

  async #log(address: PodAddress, query: URLSearchParams, response: ServerResponse): Promise<void> {
    const { previous, ...wanted } = logQueryOf(query, this.#facts.clock.now());
    const run = await this.#run(address, previous);
    const uid = uidOf(this.#pod(address));
    const running = async () => {
      const runtime = await readRuntimePod(this.#facts.cri, uid);
      return runtime.containers.some(({ id, state }) => id === run.id && state !== 'exited');
    };
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' });
    response.flushHeaders();
    await sendLog(
      run.logPath,
      wanted,
      response,
      running,
      AbortSignal.any([gone.signal, this.#closing.signal]),
    );
    response.end();
  }

  #pod({ namespace, pod: name, uid }: PodAddress): Pod {
    const pod = this.#facts
      .pods()
      .find((one) => namespaceOf(one) === namespace && nameOf(one) === name && (!uid || uidOf(one) === uid));
    if (!pod) throw new HttpError(404, `pod "${namespace}/${name}" is not on this node`);
    return pod;
  }

  /** @param previous the run before the last one. */
  async #run(address: PodAddress, previous: boolean): Promise<RuntimeContainer> {
    const runtime = await readRuntimePod(this.#facts.cri, uidOf(this.#pod(address)));
    const run = runsOf(runtime, address.container!)[previous ? 1 : 0];
    if (run) return run;
    const { container, pod } = address;
    throw new HttpError(
      400,
      previous
        ? `previous terminated container "${container}" in pod "${pod}" not found`
        : `container "${container}" in pod "${pod}" is waiting to start`,
    );
  }
}

function json(response: ServerResponse, body: object): void {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(body));
}
