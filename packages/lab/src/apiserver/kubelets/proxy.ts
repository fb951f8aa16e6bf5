/**
 * What is asked of the API server and answered by a kubelet: logs, exec, attach, port-forward, and whatever a client wants
 * of a node (`nodes/proxy`).
 */
import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import type { ResourceRequest } from '../http/request-info.ts';
import type { Fields, StoredObject } from '../object.ts';
import { ApiError, badRequest, notFound } from '../status.ts';
import type { Store } from '../storage/store.ts';

const PODS = { group: '', plural: 'pods', kind: 'Pod' };
const NODES = { group: '', plural: 'nodes', kind: 'Node' };

/** Pod subresources by the kubelet's names. */
const PATHS: Record<string, string> = {
  log: 'containerLogs',
  exec: 'exec',
  attach: 'attach',
  portforward: 'portForward',
};
/** Queries of exec and attach that the kubelet calls otherwise. */
const RENAMED: Record<string, string> = { stdin: 'input', stdout: 'output', stderr: 'error' };
const CONNECT_TIMEOUT = 10_000;

export type KubeletClient = {
  /** The API server's client certificate and key, and the authority of the kubelets' certificates, PEM. */
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
};

/** Whether a request is a kubelet's to answer. */
export function isKubeletRequest({ group, plural, subresource }: ResourceRequest): boolean {
  if (group !== '' || subresource === undefined) return false;
  return (plural === 'pods' && subresource in PATHS) || (plural === 'nodes' && subresource === 'proxy');
}

export class Kubelets {
  readonly #store: Store;
  readonly #client: KubeletClient;

  constructor(store: Store, client: KubeletClient) {
    this.#store = store;
    this.#client = client;
  }

  /** Hands a request to its kubelet and the answer back. @throws {ApiError} */
  serve(
    asked: ResourceRequest,
    query: URLSearchParams,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const options = this.#target(asked, query, request.method ?? 'GET');
    return new Promise((resolve, reject) => {
      const upstream = httpsRequest(options, (answer) => {
        response.writeHead(answer.statusCode ?? 502, {
          'content-type': answer.headers['content-type'] ?? 'text/plain',
          'cache-control': 'no-cache, private',
        });
        response.flushHeaders();
        answer.pipe(response);
        answer.once('error', () => response.destroy());
        answer.once('close', resolve);
      });
      giveUp(upstream);
      upstream.once('error', (error) => reject(this.#unreachable(options, error)));
      response.once('close', () => upstream.destroy());
      request.pipe(upstream);
    });
  }

  /** The same for a request that turns its connection into another protocol. */
  upgrade(
    asked: ResourceRequest,
    query: URLSearchParams,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
  ): Promise<void> {
    const options = this.#target(asked, query, request.method ?? 'GET');
    const { host, authorization, ...headers } = request.headers;
    return new Promise((resolve, reject) => {
      const upstream = httpsRequest({ ...options, headers });
      giveUp(upstream);
      upstream.once('error', (error) => reject(this.#unreachable(options, error)));
      upstream.once('response', (answer) => {
        // No upgrade: the kubelet says why.
        writeHead(socket, answer, { connection: 'close' });
        answer.pipe(socket);
        answer.once('close', resolve);
      });
      upstream.once('upgrade', (answer, kubelet, first) => {
        writeHead(socket, answer);
        if (first.length > 0) socket.write(first);
        if (head.length > 0) kubelet.write(head);
        join(socket, kubelet);
        resolve();
      });
      socket.once('close', () => upstream.destroy());
      upstream.end();
    });
  }

  #target(asked: ResourceRequest, query: URLSearchParams, method: string): RequestOptions {
    if (asked.plural === 'nodes') {
      const text = query.toString();
      return {
        ...this.#connection(asked.name ?? ''),
        method,
        path: `${asked.rest || '/'}${text && `?${text}`}`,
      };
    }
    const { namespace, name = '', subresource = '' } = asked;
    const pod = this.#store.get('pods', `${namespace}/${name}`);
    if (!pod) throw notFound(PODS, name);
    const node = pod.spec?.nodeName as string | undefined;
    if (!node) throw badRequest(`pod ${name} does not have a host assigned`);
    const container = subresource === 'portforward' ? undefined : containerOf(pod, query.get('container'));
    const parts = [namespace, name, ...(container ? [container] : [])].map(encodeURIComponent);
    const text = kubeletQuery(query).toString();
    return {
      ...this.#connection(node),
      method,
      path: `/${PATHS[subresource]}/${parts.join('/')}${text && `?${text}`}`,
    };
  }

  #connection(nodeName: string): RequestOptions {
    const node = this.#store.get('nodes', `/${nodeName}`);
    if (!node) throw notFound(NODES, nodeName);
    const addresses = (node.status?.addresses ?? []) as Fields[];
    const host = addresses.find(({ type }) => type === 'InternalIP')?.address as string | undefined;
    if (!host) throw badRequest(`node ${nodeName} has no InternalIP address`);
    const { kubeletEndpoint } = (node.status?.daemonEndpoints ?? {}) as {
      kubeletEndpoint?: { Port?: number };
    };
    const { certificate, key, authority } = this.#client;
    return {
      host,
      port: kubeletEndpoint?.Port ?? 10250,
      cert: certificate,
      key,
      ca: authority,
      // A connection of its own: what runs over it may take a day.
      agent: false,
    };
  }

  #unreachable({ host, port }: RequestOptions, error: Error): ApiError {
    return new ApiError('InternalError', `error dialing backend: https://${host}:${port}: ${error.message}`);
  }
}

/** Ends a request that does not reach its kubelet in time. */
function giveUp(upstream: ClientRequest): void {
  const late = () => upstream.destroy(new Error(`no connection within ${CONNECT_TIMEOUT / 1000} s`));
  const timer = setTimeout(late, CONNECT_TIMEOUT);
  upstream.once('socket', (socket) => socket.once('secureConnect', () => clearTimeout(timer)));
  upstream.once('close', () => clearTimeout(timer));
}

/** @throws {ApiError} BadRequest when it is not clear which is meant. */
function containerOf(pod: StoredObject, wanted: string | null): string {
  const lists = ['containers', 'initContainers', 'ephemeralContainers'] as const;
  const [containers, ...others] = lists.map((list) =>
    ((pod.spec?.[list] ?? []) as { name: string }[]).map(({ name }) => name),
  );
  const { name } = pod.metadata;
  if (!wanted) {
    const usual = pod.metadata.annotations?.['kubectl.kubernetes.io/default-container'];
    if (usual && containers!.includes(usual)) return usual;
    if (containers!.length === 1) return containers![0]!;
    const inits = others.flat();
    const choose = `choose one of: [${containers!.join(' ')}]${inits.length > 0 ? ` or one of the init containers: [${inits.join(' ')}]` : ''}`;
    throw badRequest(`a container name must be specified for pod ${name}, ${choose}`);
  }
  if ([containers!, ...others].flat().includes(wanted)) return wanted;
  throw badRequest(`container ${wanted} is not valid for pod ${name}`);
}

function kubeletQuery(query: URLSearchParams): URLSearchParams {
  const sent = new URLSearchParams();
  for (const [name, value] of query) {
    if (name === 'container') continue;
    const renamed = RENAMED[name];
    if (!renamed) sent.append(name, value);
    else if (value === 'true' || value === '1') sent.append(renamed, '1');
  }
  return sent;
}

function writeHead(socket: Duplex, answer: IncomingMessage, extra: Record<string, string> = {}): void {
  const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
  for (let i = 0; i < answer.rawHeaders.length; i += 2) {
    if (!(answer.rawHeaders[i]!.toLowerCase() in extra))
      lines.push(`${answer.rawHeaders[i]}: ${answer.rawHeaders[i + 1]}`);
  }
  for (const [name, value] of Object.entries(extra)) lines.push(`${name}: ${value}`);
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
}

/** Two connections become one. What ends on one side ends on the other. */
function join(a: Duplex, b: Duplex): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.pipe(to);
    from.once('error', () => to.destroy());
    from.once('close', () => to.destroy());
  }
}
