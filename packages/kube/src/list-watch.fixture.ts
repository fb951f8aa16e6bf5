import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeClient } from './client.ts';
import type { Pod } from './wire.ts';

/** For tests: a server of pods whose watches the test ends and whose history it forgets when it wants. */
export class PodServer {
  readonly pods = new Map<string, Pod>();
  /** What was asked: `list`, or `watch` with the version. */
  readonly asked: string[] = [];
  /** Everything that was asked, with what the body was. */
  readonly written: { readonly method: string; readonly path: string; readonly body: unknown }[] = [];
  client!: KubeClient;
  /** While it is set, connections end without an answer. */
  isDown = false;
  #version = 100;
  #forgotten = 0;
  readonly #history: { readonly version: number; readonly event: unknown }[] = [];
  readonly #watches = new Set<http.ServerResponse>();
  readonly #server = http.createServer((request, response) => this.#answer(request, response));

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const { port } = this.#server.address() as AddressInfo;
    this.client = new KubeClient({ server: `http://127.0.0.1:${port}` });
    return this;
  }

  async stop(): Promise<void> {
    this.client.close();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  get watching(): number {
    return this.#watches.size;
  }

  put(name: string, uid: string, nodeName = 'node-1'): void {
    const type = this.pods.has(name) ? 'MODIFIED' : 'ADDED';
    const metadata = { name, namespace: 'default', uid, resourceVersion: `${++this.#version}` };
    this.pods.set(name, { metadata, spec: { nodeName, containers: [] } });
    this.#tell(type, this.pods.get(name));
  }

  delete(name: string): void {
    const pod = this.pods.get(name)!;
    this.pods.delete(name);
    this.#tell('DELETED', { ...pod, metadata: { ...pod.metadata, resourceVersion: `${++this.#version}` } });
  }

  bookmark(): void {
    this.#tell('BOOKMARK', { metadata: { resourceVersion: `${++this.#version}` } });
  }

  /** Ends the watches. */
  hangUp(how: 'end' | 'destroy'): void {
    for (const watch of this.#watches) watch[how]();
    this.#watches.clear();
  }

  /** Versions until now cannot be watched from any more. */
  forget(): void {
    this.#forgotten = this.#version;
  }

  #tell(type: string, object: unknown): void {
    const event = { type, object };
    this.#history.push({ version: this.#version, event });
    for (const watch of this.#watches) watch.write(`${JSON.stringify(event)}\n`);
  }

  #answer(request: http.IncomingMessage, response: http.ServerResponse): void {
    if (this.isDown) {
      response.destroy();
      return;
    }
    const url = new URL(request.url!, 'http://server');
    if (request.method !== 'GET') {
      this.#accept(request, response, url.pathname);
      return;
    }
    response.setHeader('content-type', 'application/json');
    if (!url.searchParams.has('watch')) {
      this.asked.push('list');
      const metadata = { resourceVersion: `${this.#version}` };
      response.end(JSON.stringify({ kind: 'PodList', metadata, items: [...this.pods.values()] }));
      return;
    }
    const from = Number(url.searchParams.get('resourceVersion'));
    this.asked.push(`watch ${from}`);
    response.flushHeaders();
    if (from < this.#forgotten) {
      const object = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };
      response.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
      return;
    }
    for (const { version, event } of this.#history) {
      if (version > from) response.write(`${JSON.stringify(event)}\n`);
    }
    this.#watches.add(response);
    response.once('close', () => this.#watches.delete(response));
  }

  #accept(request: http.IncomingMessage, response: http.ServerResponse, path: string): void {
    let text = '';
    request.on('data', (chunk) => {
      text += chunk;
    });
    request.on('end', () => {
      this.written.push({ method: request.method!, path, body: JSON.parse(text) });
      response.end('{}');
    });
  }
}
