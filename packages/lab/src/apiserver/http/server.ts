/** The HTTPS server: who asks, and what for. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Duplex } from 'node:stream';
import { authenticate } from '../auth/authenticate.ts';
import { ISSUER } from '../auth/service-account-token.ts';
import type { User } from '../auth/user.ts';
import {
  aggregated,
  coreVersions,
  groupList,
  groupOf,
  resourceList,
  rootPaths,
  VERSION,
} from '../discovery/discovery.ts';
import { OpenApi } from '../discovery/open-api.ts';
import { connectOptions } from '../kubelets/connect-options.ts';
import { isKubeletRequest, type Kubelets } from '../kubelets/proxy.ts';
import { review } from '../registry/admission.ts';
import { ApiError, badRequest } from '../status.ts';
import { readCall } from './call.ts';
import { mediaRanges } from './negotiate.ts';
import { notAllowed, type ResourceServer } from './request.ts';
import { parseResourcePath, type ResourceRequest } from './request-info.ts';
import { serveResource } from './resources.ts';
import { respond, respondBytes, respondError, writeRefusal } from './respond.ts';

export type HttpOptions = {
  readonly resources: ResourceServer;
  readonly kubelets: Kubelets;
  /** PEM of the server, and of the authority of the clients' certificates. */
  readonly tls: { readonly certificate: string; readonly key: string; readonly clientAuthority: string };
  /** What discovery says is the server's address. */
  readonly address: string;
};

/** A server that is yet to listen. */
export function createApiHttpServer(options: HttpOptions): Server {
  const { certificate, key, clientAuthority } = options.tls;
  const handler = new Handler(options);
  const server = createServer({
    cert: certificate,
    key,
    ca: clientAuthority,
    requestCert: true,
    // Who has no certificate may have a token.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    maxHeaderSize: 64 * 1024,
  });
  // Watches last, and clients keep connections for later.
  server.requestTimeout = 0;
  server.keepAliveTimeout = 120_000;
  server.on('request', (request, response) => void handler.serve(request, response));
  server.on('upgrade', (request, socket, head) => void handler.upgrade(request, socket, head));
  return server;
}

class Handler {
  readonly #options: HttpOptions;
  readonly #openApi: OpenApi;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#openApi = new OpenApi(options.resources.catalog);
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const user = this.#authenticate(request);
      const { path, query } = readUrl(request);
      const asked = parsePath(path);
      if (!asked) return await this.#serveOther(path, request, response);
      if (isKubeletRequest(asked)) {
        await this.#review(user, asked, query, request);
        return await this.#options.kubelets.serve(asked, query, request, response);
      }
      await serveResource(this.#options.resources, user, asked, query, request, response);
    } catch (error) {
      await respondError(request, response, error);
    }
  }

  /** exec, attach and port-forward: the connection becomes one to the kubelet. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    try {
      const user = this.#authenticate(request);
      const { path, query } = readUrl(request);
      const asked = parsePath(path);
      if (!asked || !isKubeletRequest(asked)) throw badRequest('this path does not upgrade its connection');
      await this.#review(user, asked, query, request);
      await this.#options.kubelets.upgrade(asked, query, request, socket, head);
    } catch (error) {
      writeRefusal(socket, error);
    }
  }

  /** Lets webhooks refuse what a client is to do with a pod or a node. */
  async #review(user: User, asked: ResourceRequest, query: URLSearchParams, request: IncomingMessage) {
    const object = connectOptions(asked, query);
    if (!object) return;
    const { cluster, catalog } = this.#options.resources;
    const resource = catalog.find(asked.group, asked.version, asked.plural)!;
    const { namespace, name = '', subresource } = asked;
    const target = { resource, namespace, name };
    const { method = 'GET', headers } = request;
    const bare = { method, query: new URLSearchParams(), contentType: '', userAgent: headers['user-agent'] };
    const call = readCall(bare, user, () => {});
    await review(cluster.admission, { operation: 'CONNECT', target, subresource, object, call });
  }

  #authenticate(request: IncomingMessage): User {
    const { tokens, cluster } = this.#options.resources;
    return authenticate(request, tokens, cluster.store, cluster.now());
  }

  /** What is no resource: discovery, OpenAPI, health, version. */
  async #serveOther(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      throw notAllowed();
    }
    if (/^\/(healthz|livez|readyz)(\/|$)/.test(path)) {
      return respondBytes(request, response, 200, Buffer.from('ok'), {
        contentType: 'text/plain; charset=utf-8',
      });
    }
    if (await this.#openApi.serve(path, request, response)) return;
    const found = this.#discover(path, request);
    if (!found) throw new ApiError('NotFound', 'the server could not find the requested resource');
    await respond(request, response, 200, found.body, {
      ...(found.contentType && { contentType: found.contentType }),
    });
  }

  #discover(path: string, request: IncomingMessage): { body: object; contentType?: string } | undefined {
    const { catalog, tokens } = this.#options.resources;
    if (path === '/api' || path === '/apis') {
      const version = aggregatedVersion(request.headers.accept);
      if (version) {
        const contentType = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
        return { body: aggregated(catalog, path === '/api', version), contentType };
      }
      return { body: path === '/api' ? coreVersions(this.#options.address) : groupList(catalog) };
    }
    if (path === '/') return { body: rootPaths(catalog) };
    if (path === '/version') return { body: VERSION };
    if (path === '/openid/v1/jwks') return { body: tokens.keySet(), contentType: 'application/jwk-set+json' };
    if (path === '/.well-known/openid-configuration') {
      const jwks = `https://${this.#options.address}/openid/v1/jwks`;
      return {
        body: {
          issuer: ISSUER,
          jwks_uri: jwks,
          response_types_supported: ['id_token'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['ES256'],
        },
      };
    }
    const [, prefix, ...parts] = path.replace(/\/$/, '').split('/');
    const [group, version] = prefix === 'api' ? ['', ...parts] : parts;
    if ((prefix !== 'api' && prefix !== 'apis') || group === undefined || parts.length > 2) return undefined;
    const body = version ? resourceList(catalog, group, version) : groupOf(catalog, group);
    return body && { body };
  }
}

/** The version of aggregated discovery that a client wants most; undefined: it knows none. */
function aggregatedVersion(accept: string | undefined): 'v2' | 'v2beta1' | undefined {
  for (const { type, parameters } of mediaRanges(accept)) {
    const version = parameters.get('v');
    if (type === 'application/json' && parameters.get('as') === 'APIGroupDiscoveryList') {
      if (version === 'v2' || version === 'v2beta1') return version;
    } else if (type === 'application/json' || type === '*/*') return undefined;
  }
  return undefined;
}

function readUrl(request: IncomingMessage): { path: string; query: URLSearchParams } {
  const url = request.url ?? '/';
  const mark = url.indexOf('?');
  const path = (mark < 0 ? url : url.slice(0, mark)).replace(/(?<=.)\/+$/, '');
  return { path, query: new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1)) };
}

function parsePath(path: string) {
  try {
    return parseResourcePath(path);
  } catch {
    throw badRequest(`the path ${path} has a malformed escape`);
  }
}
