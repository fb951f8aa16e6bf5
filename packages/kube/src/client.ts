import http from 'node:http';
import https from 'node:https';
import { text } from 'node:stream/consumers';
import type { ApiAccess } from './access.ts';
import { ApiError, type Status } from './api-error.ts';

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export type RequestOptions = {
  readonly query?: Query;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  readonly signal?: AbortSignal;
};

export type WatchEvent<T> = {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T;
};

/** What a list answers. */
export type List<T> = {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items: T[];
};

export type DeleteOptions = {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan';
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
};

const PATCH_TYPES = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
} as const;

/** A request without an answer for so long has failed, in milliseconds. */
const REQUEST_TIMEOUT = 30_000;

type Connection = { readonly requests: http.Agent; readonly watches: http.Agent };

/**
 * An API server's client by path, for any resource, built in or custom. It passes JSON as it is: see {@link Wire}.
 * Connections are kept and shared; watches have their own, so that they never keep requests waiting.
 */
export class KubeClient {
  readonly server: URL;
  readonly #access: ApiAccess;
  readonly #connection: Connection;

  constructor(access: ApiAccess) {
    this.#access = access;
    this.server = new URL(access.server);
    const { authority: ca, certificate: cert, key } = access;
    const keepAlive = { keepAlive: true, keepAliveMsecs: 15_000 };
    const agent = (more: http.AgentOptions) =>
      this.server.protocol === 'http:'
        ? new http.Agent({ ...keepAlive, ...more })
        : new https.Agent({
            ...(ca && { ca }),
            ...(cert && { cert }),
            ...(key && { key }),
            ...keepAlive,
            ...more,
          });
    this.#connection = { requests: agent({ maxSockets: 32 }), watches: agent({}) };
  }

  /** @throws {ApiError} when the server refuses. */
  async request<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const response = await this.#send(method, path, options, 'requests');
    const body = await text(response);
    return (body ? JSON.parse(body) : undefined) as T;
  }

  get<T>(path: string, query?: Query): Promise<T> {
    return this.request('GET', path, { ...(query && { query }) });
  }

  create<T>(path: string, object: T): Promise<T> {
    return this.request('POST', path, { body: object });
  }

  replace<T>(path: string, object: T): Promise<T> {
    return this.request('PUT', path, { body: object });
  }

  patch<T>(path: string, patch: unknown, type: keyof typeof PATCH_TYPES = 'merge'): Promise<T> {
    return this.request('PATCH', path, { body: patch, contentType: PATCH_TYPES[type] });
  }

  delete(path: string, options: DeleteOptions = {}): Promise<unknown> {
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', ...options };
    return this.request('DELETE', path, { body });
  }

  /**
   * Watches until the server ends the stream.
   * @throws {ApiError} when the server refuses, or says so in the stream; other errors when the connection breaks.
   */
  async watch<T>(
    path: string,
    options: Omit<RequestOptions, 'body'>,
    onEvent: (event: WatchEvent<T>) => void,
    onOpen?: () => void,
  ): Promise<void> {
    const query = { ...options.query, watch: 1 };
    const response = await this.#send('GET', path, { ...options, query }, 'watches');
    onOpen?.();
    response.setEncoding('utf8');
    let rest = '';
    for await (const chunk of response as AsyncIterable<string>) {
      const lines = chunk.split('\n');
      lines[0] = rest + lines[0];
      rest = lines.pop()!;
      for (const line of lines) {
        if (line === '') continue;
        const event = JSON.parse(line) as WatchEvent<T>;
        if (event.type === 'ERROR') throw new ApiError(event.object as Status, `watch ${path}`);
        onEvent(event);
      }
    }
  }

  /** Ends the connections that no request is using. */
  close(): void {
    this.#connection.requests.destroy();
    this.#connection.watches.destroy();
  }

  async #send(
    method: string,
    path: string,
    options: RequestOptions,
    kind: 'requests' | 'watches',
  ): Promise<http.IncomingMessage> {
    const url = new URL(this.server.pathname.replace(/\/$/, '') + path, this.server);
    for (const [name, value] of Object.entries(options.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    const token = this.#access.token?.();
    const headers = {
      ...(token && { authorization: `Bearer ${token}` }),
      accept: options.accept ?? 'application/json',
      ...(body !== undefined && {
        'content-type': options.contentType ?? 'application/json',
        'content-length': Buffer.byteLength(body),
      }),
    };
    const { signal } = options;
    const send = () =>
      answer(url, { method, headers, agent: this.#connection[kind], ...(signal && { signal }) }, body);
    let response: http.IncomingMessage;
    try {
      response = await send();
    } catch (error) {
      // The server may close a kept connection at the moment it is used again. Reading twice does no harm.
      if (method !== 'GET' || (error as NodeJS.ErrnoException).code !== 'ECONNRESET' || signal?.aborted)
        throw error;
      response = await send();
    }
    if (response.statusCode! < 300) return response;
    throw new ApiError(toStatus(response.statusCode!, await text(response)), `${method} ${url.pathname}`);
  }
}

function answer(
  url: URL,
  options: http.RequestOptions,
  body: string | undefined,
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { request } = url.protocol === 'http:' ? http : https;
    const outgoing = request(url, options, (response) => {
      outgoing.setTimeout(0);
      resolve(response);
    });
    outgoing.setTimeout(REQUEST_TIMEOUT, () => {
      const seconds = REQUEST_TIMEOUT / 1000;
      outgoing.destroy(new Error(`no answer from ${url.origin} in ${seconds} s: is the API server running?`));
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

function toStatus(code: number, body: string): Status {
  try {
    const status = JSON.parse(body) as { kind?: string } & Status;
    if (status.kind === 'Status') return { ...status, code };
  } catch {
    // Not from the API server itself, such as a proxy's page.
  }
  return { code, message: body.slice(0, 200) || `HTTP ${code}` };
}
