import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { KubeClient } from './client.ts';
import { type KubeObject, keyOf } from './wire.ts';

type Resource = { readonly objects: Map<string, KubeObject>; readonly watches: Set<http.ServerResponse> };

/**
 * For tests: an API server that keeps whatever it is given, by the path of the resource in all namespaces, lists and watches it. It looks
 * at nothing: neither versions nor what objects say.
 */
export class WatchedApi {
  client!: KubeClient;
  /** How long each answer takes, in milliseconds. */
  latency = 0;
  /** While it is set, nothing is answered. */
  isSilent = false;
  /** While it is set, connections end without an answer. */
  #isDown = false;
  /** How often a resource was asked for in vain, by its path. */
  readonly failures = new Map<string, number>();
  /** Told of what clients write. */
  onWrite: (method: string, object: KubeObject) => void = () => {};
  readonly #silenced: (() => void)[] = [];
  readonly #resources = new Map<string, Resource>();
  #version = 1;
  readonly #server = http.createServer((request, response) => {
    if (this.#isDown) {
      const path = request.url!.split('?')[0]!;
      this.failures.set(path, (this.failures.get(path) ?? 0) + 1);
      response.destroy();
      return;
    }
    const answer = () => void this.#answer(request, new URL(request.url!, 'http://server'), response);
    if (this.isSilent) this.#silenced.push(answer);
    else if (this.latency > 0) setTimeout(answer, this.latency);
    else answer();
  });

  /** @param at where to listen: an open descriptor leads into another network namespace. */
  async start(
    at: { port: number; host: string } | { fd: number } = { port: 0, host: '127.0.0.1' },
  ): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(at, resolve));
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

  /** Ends all watches, and each connection without an answer, until it is up again. */
  down(): void {
    this.#isDown = true;
    for (const { watches } of this.#resources.values()) for (const watch of watches) watch.destroy();
  }

  up(): void {
    this.#isDown = false;
  }

  /** Answers what was asked in the meantime, too. */
  speak(): void {
    this.isSilent = false;
    for (const answer of this.#silenced.splice(0)) answer();
  }

  /**
   * @param isTold whether watches that are there hear of it.
   * @returns it as it is kept.
   */
  put(path: string, object: KubeObject, { isTold = true } = {}): KubeObject {
    const { objects, watches } = this.#of(path);
    const key = keyOf(object);
    const type = objects.has(key) ? 'MODIFIED' : 'ADDED';
    const now = { ...object, metadata: { ...object.metadata, resourceVersion: `${++this.#version}` } };
    objects.set(key, now);
    if (isTold) tell(watches, type, now);
    return now;
  }

  delete(path: string, key: string): KubeObject | undefined {
    const { objects, watches } = this.#of(path);
    const object = objects.get(key);
    if (!object) return undefined;
    objects.delete(key);
    const last = { ...object, metadata: { ...object.metadata, resourceVersion: `${++this.#version}` } };
    tell(watches, 'DELETED', last);
    return last;
  }

  list(path: string): KubeObject[] {
    return [...this.#of(path).objects.values()];
  }

  #of(path: string): Resource {
    const resource = this.#resources.get(path) ?? { objects: new Map(), watches: new Set() };
    this.#resources.set(path, resource);
    return resource;
  }

  async #answer(request: http.IncomingMessage, url: URL, response: http.ServerResponse): Promise<void> {
    response.setHeader('content-type', 'application/json');
    const { method = '' } = request;
    const [, root, namespace, resource, name] =
      /^(.*\/v1[^/]*)\/namespaces\/([^/]+)\/([^/]+)(?:\/([^/]+))?$/.exec(url.pathname) ?? [];
    const [, namespaces, only] = /^(.*\/namespaces)\/([^/]+)$/.exec(url.pathname) ?? [];
    const path = namespaces ?? (resource ? `${root}/${resource}` : url.pathname);
    const key = only ?? `${namespace}/${name}`;
    const finish = (object: KubeObject | undefined) => {
      if (object && method !== 'GET') this.onWrite(method, object);
      response.statusCode = object ? 200 : 404;
      response.end(JSON.stringify(object ?? { kind: 'Status', code: 404, reason: 'NotFound' }));
    };
    if (method === 'POST' || method === 'PUT') finish(this.put(path, (await json(request)) as KubeObject));
    else if (method === 'DELETE') finish(this.delete(path, key));
    else if (name ?? only) finish(this.#of(path).objects.get(key));
    else if (!url.searchParams.has('watch')) {
      const metadata = { resourceVersion: `${this.#version}` };
      response.end(JSON.stringify({ metadata, items: this.list(path) }));
    } else this.#watch(this.#of(path), Number(url.searchParams.get('resourceVersion')), response);
  }

  #watch({ objects, watches }: Resource, from: number, response: http.ServerResponse): void {
    response.flushHeaders();
    for (const object of objects.values()) {
      if (Number(object.metadata!.resourceVersion) > from) tell([response], 'MODIFIED', object);
    }
    watches.add(response);
    response.once('close', () => watches.delete(response));
  }
}

function tell(watches: Iterable<http.ServerResponse>, type: string, object: KubeObject): void {
  for (const watch of watches) watch.write(`${JSON.stringify({ type, object })}\n`);
}
