import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { EndpointSlice, Namespace, Service } from './records.ts';

export const namespace = (name: string): Namespace => ({ metadata: { name } });

export function service(name: string, clusterIP: string, extra: Partial<Service['spec']> = {}): Service {
  return {
    metadata: { name, namespace: 'shop' },
    spec: { clusterIP, ports: [{ name: 'http', port: 80 }], ...extra },
  };
}

type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];

export function endpointSlice(of: string, endpoints: Endpoint[], name = `${of}-x`): EndpointSlice {
  return {
    metadata: { name, namespace: 'shop', labels: { 'kubernetes.io/service-name': of } },
    addressType: 'IPv4',
    endpoints,
    ports: [{ name: 'http', port: 8080 }],
  };
}

type ApiObject = { metadata: { name: string; namespace?: string; resourceVersion?: string } };

/** An API server's lists and watches over HTTP, with a history that can be cut off. */
export class TestApi implements AsyncDisposable {
  readonly #server = createServer((request, response) => this.#serve(request.url!, response));
  readonly #objects = new Map<string, ApiObject>();
  readonly #watches = new Map<ServerResponse, string>();
  #version = 1;
  #oldest = 0;
  /** Requests that were answered, as paths. */
  readonly requests: string[] = [];

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Puts an object; watches are told. */
  put(path: string, object: object): void {
    const copy = structuredClone(object) as ApiObject;
    const key = `${path} ${copy.metadata.name}`;
    const type = this.#objects.has(key) ? 'MODIFIED' : 'ADDED';
    copy.metadata.resourceVersion = `${++this.#version}`;
    this.#objects.set(key, copy);
    this.#tell(path, { type, object: copy });
  }

  delete(path: string, name: string): void {
    const key = `${path} ${name}`;
    const object = structuredClone(this.#objects.get(key)!);
    this.#objects.delete(key);
    object.metadata.resourceVersion = `${++this.#version}`;
    this.#tell(path, { type: 'DELETED', object });
  }

  /** Ends every connection; what changes until `restore` no watch will ever be told. */
  interrupt(): void {
    this.#watches.clear();
    this.#server.closeAllConnections();
    this.#oldest = this.#version + 1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  #tell(path: string, event: object): void {
    for (const [response, watched] of this.#watches)
      if (watched === path) response.write(`${JSON.stringify(event)}\n`);
  }

  #serve(url: string, response: ServerResponse): void {
    this.requests.push(url);
    const { pathname: path, searchParams } = new URL(url, 'http://api');
    response.setHeader('content-type', 'application/json');
    if (!searchParams.has('watch')) {
      const items = [...this.#objects].filter(([key]) => key.startsWith(`${path} `)).map(([, each]) => each);
      response.end(JSON.stringify({ metadata: { resourceVersion: `${this.#version}` }, items }));
      return;
    }
    response.flushHeaders();
    if (Number(searchParams.get('resourceVersion')) < this.#oldest) {
      const object = { kind: 'Status', code: 410, message: 'too old resource version' };
      response.end(`${JSON.stringify({ type: 'ERROR', object })}\n`);
      return;
    }
    this.#watches.set(response, path);
    response.on('close', () => this.#watches.delete(response));
  }
}
