import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeClient, type KubeObject } from '@enid/kube';

type Resource = { readonly objects: Map<string, KubeObject>; readonly watches: Set<http.ServerResponse> };

/** For tests: an API server that lists and watches objects, by the path of their resource, and gives each by its name. */
export class WatchedApi {
  client!: KubeClient;
  /** While it is set, nothing is answered. */
  isSilent = false;
  readonly #silenced: (() => void)[] = [];
  readonly #resources = new Map<string, Resource>();
  #version = 1;
  readonly #server = http.createServer((request, response) => {
    const answer = () => this.#answer(new URL(request.url!, 'http://server'), response);
    if (this.isSilent) this.#silenced.push(answer);
    else answer();
  });

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.client = new KubeClient({
      server: `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`,
    });
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Answers what was asked in the meantime, too. */
  speak(): void {
    this.isSilent = false;
    for (const answer of this.#silenced.splice(0)) answer();
  }

  /** @param isTold whether watches that are there hear of it. */
  put(path: string, object: KubeObject, { isTold = true } = {}): void {
    const { objects, watches } = this.#of(path);
    const { namespace, name } = object.metadata!;
    const key = `${namespace ?? ''}/${name}`;
    const type = objects.has(key) ? 'MODIFIED' : 'ADDED';
    const now = { ...object, metadata: { ...object.metadata, resourceVersion: `${++this.#version}` } };
    objects.set(key, now);
    if (isTold) for (const watch of watches) watch.write(`${JSON.stringify({ type, object: now })}\n`);
  }

  #of(path: string): Resource {
    const resource = this.#resources.get(path) ?? { objects: new Map(), watches: new Set() };
    this.#resources.set(path, resource);
    return resource;
  }

  #answer({ pathname, searchParams }: URL, response: http.ServerResponse): void {
    response.setHeader('content-type', 'application/json');
    const [, root, namespace, resource, name] =
      /^(.*\/v1)\/namespaces\/([^/]+)\/([^/]+)\/([^/]+)$/.exec(pathname) ?? [];
    if (name) {
      const found = this.#of(`${root}/${resource}`).objects.get(`${namespace}/${name}`);
      response.statusCode = found ? 200 : 404;
      response.end(JSON.stringify(found ?? { kind: 'Status', code: 404, reason: 'NotFound' }));
      return;
    }
    const { objects, watches } = this.#of(pathname);
    if (!searchParams.has('watch')) {
      const metadata = { resourceVersion: `${this.#version}` };
      response.end(JSON.stringify({ metadata, items: [...objects.values()] }));
      return;
    }
    response.flushHeaders();
    const from = Number(searchParams.get('resourceVersion'));
    for (const object of objects.values()) {
      if (Number(object.metadata!.resourceVersion) > from)
        response.write(`${JSON.stringify({ type: 'MODIFIED', object })}\n`);
    }
    watches.add(response);
    response.once('close', () => watches.delete(response));
  }
}
