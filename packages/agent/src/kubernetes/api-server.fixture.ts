import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import type { Node } from '@enid/kube';

export type Written = {
  readonly method: string;
  readonly path: string;
  readonly type: string;
  // biome-ignore lint/suspicious/noExplicitAny: whatever was sent
  readonly body: any;
};

/** For tests: an API server with one node, some pods' uids, and a memory for what is written. */
export class TestApiServer {
  node: Node | undefined;
  /** By `namespace/name`. */
  readonly pods = new Map<string, { uid: string; annotations: Record<string, string> }>();
  readonly written: Written[] = [];
  /** Of the lists and watches that were asked for. */
  readonly selectors: string[] = [];
  /** Other requests than those of the node are answered by this, when it is set. */
  status = 0;
  #version = 1;
  readonly #watches = new Set<http.ServerResponse>();
  readonly #server = http.createServer((request, response) => this.#answer(request, response));

  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve));
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  putNode(maxPods: string, taints: { key: string; effect: string }[] = []): void {
    const type = this.node ? 'MODIFIED' : 'ADDED';
    const metadata = { name: 'node-1', uid: 'uid-of-node-1', resourceVersion: `${++this.#version}` };
    this.node = { metadata, spec: { taints }, status: { allocatable: { pods: maxPods } } } as Node;
    for (const watch of this.#watches) watch.write(`${JSON.stringify({ type, object: this.node })}\n`);
  }

  /** The events that were made, and each with how often it was counted up. */
  get events() {
    return this.written
      .filter(({ method, path }) => method === 'POST' && path.endsWith('/events'))
      .map(({ body }) => ({
        ...(body as { reason: string; message: string; type: string; involvedObject: object }),
        counts: this.written
          .filter(({ method, path }) => method === 'PATCH' && path.endsWith(`/events/${body.metadata.name}`))
          .map((patch) => patch.body.count as number),
      }));
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { pathname: path, searchParams } = new URL(request.url!, 'http://server');
    response.setHeader('content-type', 'application/json');
    if (path === '/api/v1/nodes') return this.#nodes(searchParams, response);
    const pod = this.pods.get(
      path
        .match(/namespaces\/(.+)\/pods\/(.+)$/)
        ?.slice(1)
        .join('/') ?? '',
    );
    const answer = (code: number, body: object = { kind: 'Status', code }) => {
      response.statusCode = code;
      response.end(JSON.stringify(body));
    };
    const { method = '' } = request;
    if (method !== 'GET') {
      const type = request.headers['content-type'] ?? '';
      this.written.push({ method, path, type, body: await json(request) });
    }
    if (this.status) return answer(this.status);
    if (!path.includes('/pods/')) return answer(200, {});
    if (!pod) return answer(404);
    if (method === 'PATCH') return answer(this.#patch(pod, this.written.at(-1)!.body));
    answer(200, { metadata: { uid: pod.uid } });
  }

  // biome-ignore lint/suspicious/noExplicitAny: either kind of patch
  #patch(pod: { uid: string; annotations: Record<string, string> }, patch: any): number {
    if (!Array.isArray(patch)) {
      if (patch.metadata.uid && patch.metadata.uid !== pod.uid) return 409;
      Object.assign(pod.annotations, patch.metadata.annotations);
      return 200;
    }
    for (const { op, path, value } of patch) {
      const name = path.replace('/metadata/annotations/', '').replace('~1', '/');
      if (op === 'test' && pod.annotations[name] !== value) return 422;
      if (op === 'replace') pod.annotations[name] = value;
    }
    return 200;
  }

  #nodes(query: URLSearchParams, response: http.ServerResponse): void {
    this.selectors.push(`${query.get('fieldSelector')}`);
    if (!query.has('watch')) {
      const items = this.node ? [this.node] : [];
      response.end(JSON.stringify({ metadata: { resourceVersion: `${this.#version}` }, items }));
      return;
    }
    response.flushHeaders();
    this.#watches.add(response);
    response.once('close', () => this.#watches.delete(response));
  }
}
